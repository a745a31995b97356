"""O_DIRECT reads into page-aligned maps and into objects of plain Python, which are not aligned."""

import errno
import mmap
import os

from alignfs_testing import (PASSTHROUGH, SERVED, alignfs, begin, check, check_equal, events,
                             loop_disk, opened, read_plainly)

SIZE = 3 * 4096 + 700


def read_all_ways(path, content):
    with opened(path, os.O_RDONLY | os.O_DIRECT) as fd:
        # The bytes object that os.read() makes starts 32 bytes into an allocation.
        check_equal(os.read(fd, 5000), content[:5000], "os.read")
        check_equal(os.read(fd, SIZE), content[5000:], "os.read up to the end")
        check_equal(os.read(fd, 10), b"", "os.read at the end")

        array, tail = bytearray(1000), bytearray(333)
        os.lseek(fd, 77, os.SEEK_SET)
        check_equal(os.readv(fd, [array, tail]), 1333, "os.readv")
        check_equal(bytes(array + tail), content[77:1410], "os.readv into arrays")

        with mmap.mmap(-1, 8192) as memory:
            check_equal(os.preadv(fd, [memory], 4096), 8192, "os.preadv into a map")
            check_equal(memory[:], content[4096:12288], "bytes of os.preadv")
            check_equal(os.preadv(fd, [memory], 8192), SIZE - 8192, "os.preadv across the end")
            check_equal(memory[:SIZE - 8192], content[8192:], "bytes across the end")
            check_equal(os.preadv(fd, [memory], 1), 8192, "os.preadv at offset 1")
            check_equal(memory[:], content[1:8193], "bytes at offset 1")


def refused_bare(path):
    """Shows that the reads above are not to be had from the disk itself, by whichever way."""
    with opened(path, os.O_RDONLY | os.O_DIRECT) as fd:
        for read in (lambda: os.read(fd, 5000), lambda: os.readv(fd, [bytearray(1000)])):
            try:
                read()
                check(False, "the bare disk should refuse this read")
            except OSError as error:
                check_equal(error.errno, errno.EINVAL, "errno on the bare disk")


def main():
    begin()
    with loop_disk(sector=4096) as disk:
        path = os.path.join(disk, "file")
        with open(path, "wb") as file:
            file.write(os.urandom(SIZE))
        content = read_plainly(path)
        refused_bare(path)
        for mode in SERVED:
            with alignfs(disk, mode) as mountpoint:
                read_all_ways(os.path.join(mountpoint, "file"), content)
                check(all(event["action"] in ("bounced", "split") for event in events(mountpoint)),
                      "nothing may be refused")
        for mode in PASSTHROUGH:
            with alignfs(disk, mode) as mountpoint:
                refused_bare(os.path.join(mountpoint, "file"))


main()
