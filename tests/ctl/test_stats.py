"""alignctl stats: exact figures, as a table and as JSON; intervals until the unmount and Ctrl-C."""

import contextlib
import os
import re
import signal
import subprocess
import time

from ctl_testing import (Terminal, alignctl, alignfs, begin, binary, check, check_equal, done, load,
                         loop_disk, misaligned_write, prepared, refused, valid)

begin()


def line(text, start):
    """The words of the line of `text` that begins with `start`, without it."""
    found = re.search(rf"^{start} +(.*)$", text, re.MULTILINE)
    check(found, f"no {start} in {text}")
    return found[1].split()


def nothing_yet(mount):
    text = done("stats", mount)
    check("since the mount\n" in text and "nothing was read or written\n" in text, text)
    value = valid(done("stats", "--json", mount), "stats")
    check_equal((value["seconds"], value["adapted_share"]), (None, None), "nothing yet")
    check("write" not in value["operations"], value)


def ten_bounced_writes(mount):
    fd = os.open(mount + "/file", os.O_WRONLY)
    for _ in range(10):
        check_equal(os.pwrite(fd, b"x" * 100, 50), 100, "written")
    text = done("stats", mount)
    row = line(text, "write")
    check_equal(row[:9], ["10", "1000", "B", "40.0", "KiB", "40.0", "KiB", "81.92", row[8]], text)
    check_equal(len(row), 8 + 4 * 2, f"four times with their units: {text}")
    check_equal(line(text, "adapted"), "10 of 10 reads and writes (100.0%): 10 bounced, 0 split".split(), text)
    check_equal(line(text, "refused"), ["0"], text)
    check_equal(line(text, "page cache"), "0 B of 80.0 KiB below".split(), text)
    check_equal(line(text, "open files"), ["1"], text)

    value = valid(done("stats", "--json", mount), "stats")
    write = value["operations"]["write"]
    times = write.pop("nanoseconds")
    check_equal(write, {"requests": 10, "outcomes": {"ok": 0, "bounced": 10, "split": 0, "fallback": 0,
                                                     "rejected": 0, "error": 0},
                        "bytes": 1000, "backing_read": 40960, "backing_write": 40960,
                        "page_cache": 0, "amplification": 81.92}, "write")
    order = [times[name] for name in ("p50", "p90", "p99", "p99.9")]
    check(order == sorted(order) and order[0] > 0 and times["mean"] > 0, times)
    check_equal((value["adapted"], value["adapted_share"]), (10, 1), "adapted")
    os.close(fd)


def wait_until_it_waits(pid):
    """Returns when alignctl has read its first figures and listens to SIGTERM."""
    end = time.monotonic() + 60
    while True:
        with open(f"/proc/{pid}/status") as file:
            caught = int(re.search(r"SigCgt:\s*(\w+)", file.read())[1], 16)
        if caught >> (signal.SIGTERM - 1) & 1:
            return
        check(time.monotonic() < end, "stats --interval does not wait")
        time.sleep(0.01)


def refusals(disk):
    with alignfs(disk, "unaligned=reject") as mount:
        misaligned_write(mount + "/file", 1000)
        write = valid(done("stats", "--json", mount), "stats")["operations"]["write"]
        check_equal((write["requests"], write["outcomes"]["rejected"], write["amplification"]),
                    (1, 1, None), "refused")
        text = done("stats", mount)
        check_equal(line(text, "write")[:5], ["1", "-", "-", "-", "-"], text)
        check_equal(line(text, "refused"), ["1"], text)


def until_busy(lines, busy):
    """The next object with writes, or without."""
    while text := lines.stdout.readline():
        value = valid(text, "stats")
        check(value["seconds"] > 0, value)
        if ("write" in value["operations"]) == busy:
            return value
    raise AssertionError("stats --interval ended")


def intervals(mount, lines, terminal):
    with load(mount + "/load", 4096, 0.005):
        value = until_busy(lines, True)
        write = value["operations"]["write"]
        check_equal(write["bytes"], write["requests"] * 4096, "of the interval")
        check_equal((value["adapted_share"], write["amplification"]), (0, 1), "aligned")
        terminal.until(r"\d\d:\d\d\.\d+Z  in [12]?\d?\.?\d+ s\r\noperation[^\n]*\n(read[^\n]*\n)?write ")
    idle = until_busy(lines, False)
    check_equal(idle["adapted_share"], None, "nobody writes any more")
    terminal.until("nothing was read or written")


@contextlib.contextmanager
def running(*arguments):
    """alignctl beside the test, and never longer."""
    process = subprocess.Popen([binary(), *arguments], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


with loop_disk() as disk, contextlib.ExitStack() as beside:
    prepared(disk + "/file", 8192)
    with alignfs(disk) as mounted:
        nothing_yet(mounted)
        ten_bounced_writes(mounted)
        for wrong in ("0", "-1", "nan", "1e9", "inf", "often"):
            refused("stats", f"--interval={wrong}", mounted, naming="interval")
        by_pipe = beside.enter_context(running("stats", "--json", "--interval", "0.2", mounted))
        on_terminal = Terminal("stats", "--interval", "0.2", mounted)
        intervals(mounted, by_pipe, on_terminal)
        on_terminal.type("\x03")
        check_equal(on_terminal.end(), 0, "Ctrl-C")
        slow = beside.enter_context(running("stats", "--interval", "3600", mounted))
        wait_until_it_waits(slow.pid)
        # Nobody who waits keeps the mount busy: it is unmounted at the first try.
    by_pipe.communicate(timeout=60)
    check_equal(by_pipe.returncode, 0, "the mount is gone")
    slow.terminate()
    check_equal(slow.wait(60), 0, "SIGTERM while it waits")
    refusals(disk)
    refused("stats", disk, naming="not on an alignfs mount")
    refused("stats", disk + "/none", naming="No such file")
    with alignfs(disk, "control=off") as silent:
        refused("stats", silent, naming=".alignfs/stats")
    full = alignctl("stats", "--bogus", disk)
    check_equal(full.returncode, 2, "no such option")
