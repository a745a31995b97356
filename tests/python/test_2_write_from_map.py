"""A write from an anonymous map of 1 MiB is legal everywhere and worth no event anywhere."""

import mmap
import os

from alignfs_testing import (MODES, alignfs, begin, check_equal, events, loop_disk, opened,
                             read_plainly)

MIB = 1 << 20


def write_map(path):
    with mmap.mmap(-1, MIB) as memory:
        memory[:] = os.urandom(4096) * (MIB // 4096)
        with opened(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT) as fd:
            check_equal(os.write(fd, memory), MIB, "bytes written")
        return memory[:]


def main():
    begin()
    for sector in (512, 4096):
        with loop_disk(sector) as disk:
            bare = os.path.join(disk, "bare")
            content = write_map(bare)
            check_equal(read_plainly(bare), content, "the bare disk's bytes")
            for mode in MODES:
                with alignfs(disk, mode) as mountpoint:
                    content = write_map(os.path.join(mountpoint, "file"))
                    check_equal(events(mountpoint), [], "events with " + mode)
                inside = os.path.join(disk, "file")
                check_equal(read_plainly(inside), content, "the backing's bytes")


main()
