"""A refusal on the terminal of the program that was refused, and on nobody else's."""

import os
import pty
import re
import select
import time

from alignfs_testing import alignfs, begin, check, check_equal, loop_disk

begin()

WRITE = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_DIRECT)
try:
    os.write(fd, b' ' * 1000)
except OSError as error:
    print('errno', error.errno)
"""
RAW = "import tty\ntty.setraw(0)\n" + WRITE
BACKGROUND = "import os, sys\nif os.fork():\n    os.wait()\n    sys.exit()\nos.setpgid(0, 0)\n" + WRITE
FIVE = WRITE + "for _ in range(4):\n    try: os.write(fd, b' ' * 1000)\n    except OSError: pass\n"


def shown_to(path, program=WRITE, **streams):
    """What the program's terminal has on it when the program has ended."""
    pid, terminal = pty.fork()
    if pid == 0:
        for fd, file in streams.items():
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), {"err": 2}[fd])
        os.execv("/usr/bin/python3", ["python3", "-c", program, path])
    text = b""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            got = os.read(terminal, 65536)
        except OSError:  # the program has ended
            break
        if not got:
            break
        text += got
    os.close(terminal)
    check_equal(os.waitpid(pid, 0)[1], 0, f"the program: {text!r}")
    check(b"errno 22" in text, f"refused as ever: {text!r}")
    return text.decode()


with loop_disk() as disk:
    with alignfs(disk, "unaligned=reject,report=log+tty") as mount:
        text = shown_to(mount + "/file")
        check(re.search(r"alignfs: EINVAL: write\(fd \d+, .*1000 bytes.*on /file by python3", text),
              f"the explanation: {text!r}")
        check(text.index("nearest request") < text.index("errno 22"), "above the program's own words")
        check("\r\n  length  1000 is 3096 short" in text, f"as lines: {text!r}")
        check_equal(shown_to(mount + "/five", FIVE).count("EINVAL"), 1, "said once")
        check("alignfs" not in shown_to(mount + "/raw", RAW), "a screen that a program has taken over")
        check("alignfs" not in shown_to(mount + "/back", BACKGROUND), "a job in the background")
        log = disk + "/log"
        check("alignfs" not in shown_to(mount + "/elsewhere", err=log), "no terminal for errors")
        check_equal(os.path.getsize(log), 0, "and nothing in the file that takes them")
        # To look at that file would be to wait for oneself.
        check("alignfs" not in shown_to(mount + "/itself", err=mount + "/log"), "errors to the mount")
    with alignfs(disk, "unaligned=reject") as mount:
        check("alignfs" not in shown_to(mount + "/file"), "not asked for")
