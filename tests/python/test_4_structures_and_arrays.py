"""Structures through unbuffered binary files, and numpy's own way of writing and reading arrays."""

import ctypes
import os

import numpy

from alignfs_testing import (LENIENT, PASSTHROUGH, alignfs, begin, check_equal, loop_disk,
                             read_plainly)


class Sample(ctypes.Structure):
    _fields_ = [("number", ctypes.c_uint64), ("value", ctypes.c_double), ("tag", ctypes.c_char * 8)]


def direct(path, flags):
    return os.open(path, flags | os.O_DIRECT, 0o644)


def structures(directory, opener):
    path = os.path.join(directory, "structures")
    samples = [Sample(i, i / 3, b"tag%d" % i) for i in range(400)]
    with open(path, "wb", buffering=0, opener=opener) as file:
        for sample in samples:
            check_equal(file.write(sample), ctypes.sizeof(Sample), "bytes of a structure")
    check_equal(os.path.getsize(path), 24 * len(samples), "size of the file")
    with open(path, "rb", buffering=0, opener=opener) as file:
        for sample in samples:
            back = Sample()
            check_equal(file.readinto(back), ctypes.sizeof(Sample), "bytes read")
            check_equal(bytes(back), bytes(sample), "structure")
        check_equal(file.readinto(Sample()), 0, "bytes beyond the end")
    return b"".join(bytes(sample) for sample in samples)


def arrays(directory):
    path = os.path.join(directory, "array")
    array = numpy.arange(100_001, dtype=numpy.float64) ** 0.5
    array.tofile(path)
    check_equal(numpy.fromfile(path, dtype=numpy.float64).tobytes(), array.tobytes(), "fromfile")
    part = numpy.fromfile(path, dtype=numpy.float64, count=77, offset=8 * 1001)
    check_equal(part.tobytes(), array[1001:1078].tobytes(), "fromfile with an offset")
    numpy.arange(10, dtype=numpy.uint8).tofile(path + "-small")
    check_equal(read_plainly(path + "-small"), bytes(range(10)), "a small array")
    return array.tobytes()


def main():
    begin()
    with loop_disk(sector=4096) as disk:
        for mode in LENIENT:
            with alignfs(disk, mode) as mountpoint:
                # With passthrough O_DIRECT is that of the disk, which refuses structures.
                for opener in (None,) if mode in PASSTHROUGH else (direct, None):
                    written = structures(mountpoint, opener)
                    check_equal(read_plainly(os.path.join(disk, "structures")), written,
                                "the backing's structures")
                written = arrays(mountpoint)
                check_equal(read_plainly(os.path.join(disk, "array")), written,
                            "the backing's array")


main()
