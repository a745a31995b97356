"""alignctl why and watch: refusals of a file, a mount, a process; before and as they happen."""

import os
import shutil
import signal
import subprocess
import tempfile

from ctl_testing import (Terminal, alignctl, alignfs, begin, binary, check, check_equal, done,
                         loop_disk, misaligned_write, refused, valid)

begin()


def why_tests(mount):
    one, other = mount + "/one", mount + "/other"
    outcome = alignctl("why", mount)
    check_equal((outcome.returncode, outcome.stdout), (1, ""), "before anything happened")
    check("nothing was refused" in outcome.stderr, outcome.stderr)

    first = misaligned_write(one, 1000)
    second = misaligned_write(other, 2000, 4096)
    for subject, wanted, unwanted in ((one, "1000 bytes", "2000 bytes"),
                                      (other, "2000 bytes", "1000 bytes"),
                                      (mount, "2000 bytes", "1000 bytes"),
                                      (str(first), "1000 bytes", "2000 bytes"),
                                      (str(second), "2000 bytes", "1000 bytes")):
        text = done("why", subject)
        check("EINVAL: pwrite(" in text and wanted in text and unwanted not in text,
              f"why {subject}: {text}")
        check("nearest request that works" in text, "the whole explanation")
    check("2000 bytes" in done("why"), "of all mounts")
    both = done("why", "-n", "5", mount)
    check(both.index("1000 bytes") < both.index("2000 bytes"), "the newest last")
    terminal = Terminal("why", "-n", "5", mount)
    check_equal(terminal.end(), 0, "on a terminal")
    check_equal(terminal.text.replace("\r\n", "\n"), both, "on a terminal")
    event = valid(done("why", "--json", one), "event")
    check_equal((event["path"], event["length"]), ("/one", 1000), "as JSON")

    # Somebody else may ask the file alone, for what he himself was refused.
    os.chmod(one, 0o666)
    with tempfile.TemporaryDirectory() as open_to_all:
        os.chmod(open_to_all, 0o755)
        stranger = {"user": 12345, "group": 12345,
                    "program": shutil.copy(binary(), open_to_all), "cwd": "/"}
        check_equal(alignctl("why", mount, **stranger).returncode, 2, "another's mount")
        check_equal(alignctl("why", one, **stranger).returncode, 2, "another's refusal")
        misaligned_write(one, 5000, user=12345, group=12345)
        own = alignctl("why", one, **stranger)
        check("5000 bytes" in own.stdout, f"his own refusal: {own}")

    check_equal(alignctl("why", "999999999").returncode, 1, "no such process")
    refused("why", mount + "/gone", naming="No such file")
    refused("why", "/", naming="not on an alignfs mount")


def watch_tests(mount):
    watch = Terminal("watch", mount)
    full = subprocess.Popen([binary(), "watch", "--full", "--comm", "python3", mount],
                            stdout=subprocess.PIPE, text=True)
    lines = subprocess.Popen([binary(), "watch", "--json", "--path", "/new*", mount],
                             stdout=subprocess.PIPE, text=True)
    nobody = subprocess.Popen([binary(), "watch", "--comm", "nobody", mount],
                              stdout=subprocess.PIPE, text=True)
    kept = Terminal("watch", "--kept", mount)
    kept.until(r"EINVAL: pwrite\(.*1000 bytes")
    # What was refused before is not shown, and the second one tells that the first is through.
    for number in range(50):
        misaligned_write(f"{mount}/new{number}", 3000)
        if "new" in watch.text:
            break
        watch.until(rf"new{number}" if number else r"")
    watch.until(r"new\d+ by python3\[\d+\]")
    check("1000 bytes" not in watch.text, "nothing from before")
    check("nearest" not in watch.text, "one line each")
    check_equal(valid(lines.stdout.readline(), "event")["length"], 3000, "watch --json")
    check("EINVAL: pwrite(" in full.stdout.readline(), "watch --full")
    check("offset" in full.stdout.readline() + full.stdout.readline(), "the lines after")
    kept.type("\x03")
    check_equal(kept.end(), 128 + signal.SIGINT, "Ctrl-C")
    return watch, full, lines, nobody


with loop_disk() as disk:
    with alignfs(disk, "unaligned=reject,allow_other") as mounted:
        why_tests(mounted)
        on_terminal, *by_pipe = watch_tests(mounted)
    check_equal(on_terminal.end(), 0, "the mount is gone")
    for process in by_pipe:
        rest = process.communicate(timeout=60)[0]
        check_equal(process.returncode, 0, "the mount is gone")
    check_equal(rest, "", "watch --comm of nobody")
    refused("watch", disk, naming="not on an alignfs mount")
    with alignfs(disk, "control=off") as silent:
        refused("watch", silent, naming=".alignfs/events")
    # Nobody who watches keeps the mount busy: it was unmounted above at the first try.
