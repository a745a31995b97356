"""What map_advice and map_populate are worth on a cold file: time, and bytes that the disk was read for,
as ratios to map_advice=normal in the same round.

    sudo ALIGNFS_BIN=build/release/alignfs python3 tests/bench/map_advice.py [ROUNDS]

The disk is ext4 on a loop device with 4096-byte sectors, in memory: a slower disk makes more of every
read that was spared or was made ahead. Medians of interleaved rounds; prints a Markdown table.
"""

import os
import random
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "python"))
from alignfs_testing import alignfs, begin, loop_disk, opened  # noqa: E402

SIZE = 256 << 20
OPTIONS = ("map_advice=normal", "map_advice=sequential", "map_advice=random",
           "map_advice=willneed", "map_populate")


def sequential(fd):
    """The whole file in order, 64 KiB at a time."""
    for offset in range(0, SIZE, 65536):
        os.pread(fd, 65536, offset)


def few(fd):
    """4 KiB in 2000 places: one page in thirty-two."""
    places = random.Random(1)
    for _ in range(2000):
        os.pread(fd, 4096, places.randrange(SIZE // 4096) * 4096)


def first_after_a_second(fd):
    """The same, begun a second after the file was first touched: what was read ahead is there."""
    os.pread(fd, 1, 0)
    time.sleep(1)
    begun = time.monotonic()
    few(fd)
    return time.monotonic() - begun


WALKS = (("all in order", sequential), ("2000 random pages", few),
         ("the same, a second after the first byte", first_after_a_second))


def bytes_read(directory):
    device = os.stat(directory).st_dev
    with open(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat") as file:
        return int(file.read().split()[2]) * 512


def make_cold(path):
    with opened(path, os.O_RDONLY) as fd:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def measure(disk, options, walk):
    make_cold(os.path.join(disk, "file"))
    before = bytes_read(disk)
    with alignfs(disk, "mode=mapped," + options) as mountpoint:
        with opened(os.path.join(mountpoint, "file"), os.O_RDONLY) as fd:
            begun = time.monotonic()
            seconds = walk(fd) or time.monotonic() - begun
    return seconds, bytes_read(disk) - before


def main():
    begin()
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    results = {(walk, options): [] for walk, _ in WALKS for options in OPTIONS}
    with loop_disk(sector=4096) as disk:
        with open(os.path.join(disk, "file"), "wb") as file:
            for _ in range(SIZE >> 20):
                file.write(os.urandom(1 << 20))
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            for name, walk in WALKS:
                for options in OPTIONS:
                    results[name, options].append(measure(disk, options, walk))
    print("| reads of a cold file | " + " | ".join(f"`{o}`" for o in OPTIONS) + " |")
    print("|---" * (len(OPTIONS) + 1) + "|")
    for name, _ in WALKS:
        normal = results[name, OPTIONS[0]]
        cells = []
        for options in OPTIONS:
            rows = results[name, options]
            cells.append(" / ".join(
                f"{statistics.median(a[i] / max(b[i], 1e-9) for a, b in zip(rows, normal)):.2f}"
                for i in range(2)))
        print(f"| {name}: time / bytes read | " + " | ".join(cells) + " |")


main()
