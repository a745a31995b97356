"""Forward by 64, back by 32, over a file by seeks and over a map of it: how long that takes on the bare
disk and on a mount in each mode, as ratios to the file on the bare disk.

    sudo ALIGNFS_BIN=build/release/alignfs python3 tests/bench/walk.py [ROUNDS]

The disk is ext4 on a loop device with 4096-byte sectors, in memory. Medians of interleaved rounds;
prints a Markdown table.
"""

import mmap
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "python"))
from alignfs_testing import alignfs, begin, loop_disk  # noqa: E402

SIZE = 2 << 20
PLACES = (
    ("bare disk", None),
    ("`unaligned=bounce`", "unaligned=bounce"),
    ("`mode=mapped`", "mode=mapped"),
    ("`mode=buffered`", "mode=buffered"),
    ("`mode=mapped,passthrough`", "mode=mapped,passthrough"),
)


def walk(stream):
    stream.seek(0)
    while stream.tell() + 64 < SIZE:
        stream.seek(64, os.SEEK_CUR)
        stream.seek(-32, os.SEEK_CUR)
        stream.read(8)
        stream.seek(-8, os.SEEK_CUR)


def timed(stream):
    begun = time.monotonic()
    walk(stream)
    return time.monotonic() - begun


def measure(directory):
    """Seconds for the unbuffered file, for Python's buffered file, and for the map."""
    path = os.path.join(directory, "file")
    with open(path, "rb", buffering=0) as file:
        unbuffered = timed(file)
    with open(path, "rb") as file:
        buffered = timed(file)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
            return unbuffered, buffered, timed(memory)


def main():
    begin()
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds = {name: [] for name, _ in PLACES}
    with loop_disk(sector=4096) as disk:
        with open(os.path.join(disk, "file"), "wb") as file:
            file.write(os.urandom(SIZE))
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            for name, options in PLACES:
                if options is None:
                    seconds[name].append(measure(disk))
                    continue
                with alignfs(disk, options) as mountpoint:
                    seconds[name].append(measure(mountpoint))
    unit = statistics.median(row[0] for row in seconds[PLACES[0][0]])
    print("| | file, unbuffered | file, Python's buffer | map |\n|---|---|---|---|")
    for name, _ in PLACES:
        cells = [statistics.median(row[i] for row in seconds[name]) / unit for i in range(3)]
        print(f"| {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")


main()
