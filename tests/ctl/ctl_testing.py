"""Runs alignctl for the scripts beside this file: by pipes, and on a real terminal."""

import contextlib
import json
import os
import pty
import re
import select
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "python"))
from alignfs_testing import (alignfs, begin, check, check_equal, loop_disk,  # noqa: E402,F401
                             opened)

_PATIENCE = 60
_SCHEMAS = os.path.join(os.path.dirname(__file__), "../../docs/schemas")


def binary():
    return os.environ["ALIGNCTL_BIN"]


def alignctl(*arguments, program=None, **more):
    """What `alignctl ARGUMENTS` did: returncode, stdout, stderr."""
    return subprocess.run([program or binary(), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=_PATIENCE, **more)


def done(*arguments, **more):
    """Its standard output; it must succeed and have nothing to complain about."""
    outcome = alignctl(*arguments, **more)
    check_equal((outcome.returncode, outcome.stderr), (0, ""), f"alignctl {arguments}")
    return outcome.stdout


def valid(text, schema):
    """The JSON value of `text`, which must be as docs/schemas has it."""
    import jsonschema
    value = json.loads(text)
    with open(os.path.join(_SCHEMAS, schema + ".schema.json")) as file:
        jsonschema.validate(value, json.load(file))
    return value


def refused(*arguments, naming):
    """It must fail with one line that contains `naming`."""
    outcome = alignctl(*arguments)
    check_equal(outcome.returncode, 2, f"exit status of alignctl {arguments}: {outcome.stderr}")
    check_equal(outcome.stdout, "", f"output of alignctl {arguments}")
    lines = outcome.stderr.splitlines()
    check(len(lines) == 1 and lines[0].startswith("alignctl: ") and naming in lines[0],
          f"alignctl {arguments} said {outcome.stderr!r}")


class Terminal:
    """alignctl on a terminal of its own."""

    def __init__(self, *arguments):
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execv(binary(), [binary(), *arguments])
        self.text = ""

    def until(self, pattern):
        """Reads on until the output holds `pattern`."""
        end = time.monotonic() + _PATIENCE
        while not re.search(pattern, self.text):
            check(time.monotonic() < end, f"no {pattern!r} in {self.text!r}")
            if select.select([self._fd], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self._fd, 4096).decode()
                except OSError:  # the other end is closed
                    check(re.search(pattern, self.text), f"no {pattern!r} in {self.text!r}")

    def type(self, text):
        os.write(self._fd, text.encode())

    def end(self):
        """The exit status, as a shell has it."""
        with contextlib.suppress(OSError):
            while data := os.read(self._fd, 4096):
                self.text += data.decode()
        os.close(self._fd)
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code


def misaligned_write(path, length=1000, offset=0, **more):
    """By a program of its own with O_DIRECT, from a page: its pid. EINVAL is expected."""
    program = ("import mmap, os, sys\n"
               "fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_DIRECT)\n"
               "try:\n"
               f"    os.pwrite(fd, memoryview(mmap.mmap(-1, 1 << 16))[:{length}], {offset})\n"
               "except OSError as error:\n"
               "    sys.exit(error.errno)\n")
    process = subprocess.Popen(["/usr/bin/python3", "-c", program, path], **more)
    check_equal(process.wait(_PATIENCE), 22, "errno of a misaligned write")
    return process.pid
