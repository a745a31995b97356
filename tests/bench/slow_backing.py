"""Random reads of one file beside calls on another that the backing makes slow: their rate as a ratio
to the same reads without those calls.

    sudo ALIGNFS_BIN=build/release/alignfs ALIGNFS_TROUBLE_FS=build/dev/tests/alignfs_trouble_fs \\
        python3 tests/bench/slow_backing.py [ROUNDS]

The backing takes 200 ms for each fsync and getattr. Three threads call fsync on the other file, and
three ask for its attributes, one call after the other. Medians of interleaved rounds; prints a
Markdown table.
"""

import mmap
import os
import random
import statistics
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "python"))
from alignfs_testing import alignfs, begin, loop_disk, served  # noqa: E402

SIZE = 64 << 20
SECONDS = 2
ENGINES = ("engine=uring", "engine=threads", "fuse_uring=on")


def reads_a_second(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, 4096)
    count, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        os.preadv(fd, [buffer], random.randrange(SIZE // 4096) * 4096)
        count += 1
    os.close(fd)
    return count / SECONDS


def slow_calls(path, over):
    """Six threads at slow calls until `over` is set."""
    fd = os.open(path, os.O_RDWR)

    def repeat(call):
        while not over.is_set():
            call()

    calls = [lambda: os.fsync(fd)] * 3 + [lambda: os.stat(fd)] * 3
    threads = [threading.Thread(target=repeat, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    return threads, fd


def measure(mountpoint):
    """Reads a second without the slow calls, and beside them."""
    quiet = reads_a_second(os.path.join(mountpoint, "read"))
    over = threading.Event()
    threads, fd = slow_calls(os.path.join(mountpoint, "slow"), over)
    beside = reads_a_second(os.path.join(mountpoint, "read"))
    over.set()
    for thread in threads:
        thread.join()
    os.close(fd)
    return beside / quiet


def main():
    begin()
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    ratios = {engine: [] for engine in ENGINES}
    with loop_disk(sector=4096) as disk:
        for name in ("read", "slow"):
            with open(os.path.join(disk, name), "wb") as file:
                file.write(os.urandom(SIZE))
        trouble = [os.environ["ALIGNFS_TROUBLE_FS"], "-o", "delay_ms=200,direct_io", disk]
        with served(lambda mountpoint: trouble + [mountpoint]) as slow:
            for number in range(rounds):
                print(f"round {number + 1} of {rounds}", file=sys.stderr)
                for engine in ENGINES:
                    with alignfs(slow[0], engine + ",attr_timeout=0") as mountpoint:
                        ratios[engine].append(measure(mountpoint))
    print("| engine | reads beside slow calls, of those without |\n|---|---|")
    for engine in ENGINES:
        low, high = min(ratios[engine]), max(ratios[engine])
        print(f"| `{engine}` | {statistics.median(ratios[engine]):.2f} ({low:.2f} to {high:.2f}) |")


main()
