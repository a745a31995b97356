"""Forward by 64, back by 32: a walk over a map and the same walk over the file see the same."""

import mmap
import os
import zlib

from alignfs_testing import LENIENT, alignfs, begin, check, check_equal, loop_disk

SIZE = 10 << 20


def walk(stream):
    """Checksum over what lies at each stop, and the number of stops."""
    checksum, stops = 0, 0
    stream.seek(0)
    while stream.tell() + 64 < SIZE:
        stream.seek(64, os.SEEK_CUR)
        stream.seek(-32, os.SEEK_CUR)
        checksum = zlib.crc32(stream.read(8), checksum)
        stream.seek(-8, os.SEEK_CUR)
        stops += 1
    return checksum, stops


def main():
    begin()
    with loop_disk(sector=4096) as disk:
        content = os.urandom(SIZE)
        with open(os.path.join(disk, "file"), "wb") as file:
            file.write(content)
        for mode in LENIENT:
            with alignfs(disk, mode) as mountpoint:
                with open(os.path.join(mountpoint, "file"), "rb") as file:
                    by_file = walk(file)
                    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
                        by_map = walk(memory)
            check_equal(by_map, by_file, "the walks with " + mode)
            expected = 0
            for position in range(32, SIZE - 32, 32):
                expected = zlib.crc32(content[position:position + 8], expected)
            check_equal(by_file[0], expected, "the walk over the bytes themselves")
            check(by_file[1] > SIZE // 33, "the walk should reach the end")


main()
