"""The first character of a text file, changed through a shared map of it."""

import mmap
import os

from alignfs_testing import MODES, STRICT, alignfs, begin, check_equal, loop_disk, read_plainly

TEXT = b"once upon a time there was a file of text\n" * 300


def main():
    begin()
    with loop_disk(sector=4096) as disk:
        for mode in MODES:
            inside = os.path.join(disk, "text")
            with open(inside, "wb") as file:
                file.write(TEXT)
            with alignfs(disk, mode) as mountpoint:
                path = os.path.join(mountpoint, "text")
                with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
                    check_equal(memory.readline(), TEXT[:42], "first line of the map")
                    memory[0:1] = b"O"
                    memory.flush()
                    changed = b"O" + TEXT[1:]
                    if mode != STRICT:
                        # A plain read has no aligned buffer, which a strict mount would refuse.
                        check_equal(read_plainly(path), changed, "a read with " + mode)
                    check_equal(read_plainly(inside), changed, "the backing with " + mode)
            check_equal(read_plainly(inside), b"O" + TEXT[1:], "the backing after the mount")


main()
