"""A structure sent over a socket whose name lives on the mount."""

import ctypes
import multiprocessing
import os
import stat
from multiprocessing.connection import Client, Listener

from alignfs_testing import MODES, alignfs, begin, check, check_equal, loop_disk


class Sample(ctypes.Structure):
    _fields_ = [("number", ctypes.c_uint64), ("value", ctypes.c_double), ("tag", ctypes.c_char * 8)]


def send_back_changed(address):
    """The client: answers each structure with its number increased."""
    with Client(address, family="AF_UNIX") as connection:
        while True:
            try:
                sample = Sample.from_buffer_copy(connection.recv_bytes())
            except EOFError:
                return
            sample.number += 1
            connection.send_bytes(bytes(sample))


def converse(address):
    with Listener(address, family="AF_UNIX") as listener:
        check(stat.S_ISSOCK(os.stat(address).st_mode), "the name should be a socket's")
        client = multiprocessing.Process(target=send_back_changed, args=(address,))
        client.start()
        with listener.accept() as connection:
            for number in range(100):
                connection.send_bytes(bytes(Sample(number, number / 7, b"sample")))
                back = Sample.from_buffer_copy(connection.recv_bytes())
                expected = (number + 1, number / 7, b"sample")
                check_equal((back.number, back.value, back.tag), expected,
                            "the structure that came back")
        client.join()
        check_equal(client.exitcode, 0, "the client's exit status")
    check(not os.path.exists(address), "the listener should have removed its name")


def main():
    begin()
    with loop_disk(sector=4096) as disk:
        for mode in MODES:
            with alignfs(disk, mode) as mountpoint:
                converse(os.path.join(mountpoint, "socket"))


main()
