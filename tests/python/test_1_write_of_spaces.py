"""1024 spaces from a bytes object into an O_DIRECT file: refused, explained, or made to work."""

import errno
import os

from alignfs_testing import (PASSTHROUGH, SERVED, STRICT, alignfs, begin, check, check_equal,
                             events, in_name, loop_disk, opened, read_plainly)

FLAGS = os.O_RDWR | os.O_CREAT | os.O_DIRECT


def spaces_off_the_boundary():
    """1024 spaces at an address that is no multiple of 512, as nearly all are in Python."""
    attempts = [b""]
    header = bytes.__basicsize__ - 1  # what precedes the bytes in the object
    while (id(attempts[-1]) + header) % 512 == 0 or not attempts[-1]:
        attempts.append(bytes([32]) * 1024)
    return attempts[-1]


SPACES = spaces_off_the_boundary()


def write_spaces(path):
    """0, or the errno of the write."""
    with opened(path, FLAGS) as fd:
        try:
            check_equal(os.write(fd, SPACES), len(SPACES), "bytes written")
            return 0
        except OSError as error:
            return error.errno


def refused_with_explanation(disk):
    with alignfs(disk, STRICT) as mountpoint:
        path = os.path.join(mountpoint, "strict")
        check_equal(write_spaces(path), errno.EINVAL, "errno under reject")
        check_equal(os.path.getsize(path), 0, "size after the refusal")

        (event,) = events(mountpoint)
        check_equal(event["action"], "rejected", "action")
        check_equal(event["broken"], ["memory", "length"], "broken rules")
        check_equal(event["syscall"], "write", "system call")
        check_equal((event["offset"], event["length"]), (0, 1024), "offset and length")
        check_equal(event["nearest"], {"offset": 0, "length": 4096}, "nearest request")
        check_equal(event["pid"], os.getpid(), "process")
        address = int(event["buffer"], 16)
        check(address % 512 != 0, "the address should be the one that was wrong")

        text = os.getxattr(path, "user.alignfs.last_error").decode()
        check(f"{address % 512} past a 512-byte boundary" in text, "the address's excess: " + text)
        check("3072 short of a multiple of 4096" in text, "what the length lacks: " + text)
        check("python" in text, "advice for this program: " + text)


def made_to_work(disk, mode):
    name = in_name(mode)
    with alignfs(disk, mode) as mountpoint:
        check_equal(write_spaces(os.path.join(mountpoint, name)), 0, "errno with " + mode)
    check_equal(read_plainly(os.path.join(disk, name)), SPACES, "the backing's bytes")


def left_to_the_disk(disk, mode):
    """The kernel opens the backing with the program's own O_DIRECT."""
    with alignfs(disk, mode) as mountpoint:
        path = os.path.join(mountpoint, in_name(mode))
        check_equal(write_spaces(path), errno.EINVAL, "errno with " + mode)
        check_equal(os.path.getsize(path), 0, "size after the refusal")


def main():
    begin()
    with loop_disk(sector=4096) as disk:
        check_equal(write_spaces(os.path.join(disk, "bare")), errno.EINVAL, "errno, bare disk")
        refused_with_explanation(disk)
        for mode in SERVED:
            made_to_work(disk, mode)
        for mode in PASSTHROUGH:
            left_to_the_disk(disk, mode)


main()
