"""Runs alignctl for the scripts beside this file: by pipes, and on a real terminal."""

import codecs
import contextlib
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
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
    """alignctl on a terminal of its own, of a kind that draws nothing but lines."""

    def __init__(self, *arguments, term="dumb"):
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execve(binary(), [binary(), *arguments], {**os.environ, "TERM": term})
        self.text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def _read(self):
        """False if the other end is closed."""
        try:
            data = os.read(self._fd, 4096)
        except OSError:
            return False
        self.text += self._decoder.decode(data)
        return bool(data)

    def _until(self, seen, what):
        end = time.monotonic() + _PATIENCE
        while not seen():
            check(time.monotonic() < end, f"no {what} in {self.text!r}")
            if select.select([self._fd], [], [], 0.1)[0] and not self._read():
                check(seen(), f"no {what} in {self.text!r}")

    def until(self, pattern):
        """Reads on until the output holds `pattern`."""
        self._until(lambda: re.search(pattern, self.text), repr(pattern))

    def type(self, text):
        os.write(self._fd, text.encode())

    def resize(self, rows, columns):
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def line_mode(self):
        """True if the terminal echoes and reads by lines, as a shell's does."""
        flags = termios.tcgetattr(self._fd)[3]
        return bool(flags & termios.ECHO) and bool(flags & termios.ICANON)

    def end(self):
        """The exit status, as a shell has it."""
        while self._read():
            pass
        self.restored = self.line_mode()
        os.close(self._fd)
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code


def prepared(path, size):
    """A file of `size` bytes that the page cache knows nothing of."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"." * size)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


@contextlib.contextmanager
def load(path, length, pause, offset=0):
    """A program that writes `length` bytes at `offset` of the file `path` again and again, `pause`
    seconds between. Its pid."""
    program = ("import os, select, sys\n"
               "fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)\n"
               f"while not select.select([0], [], [], {pause})[0]:\n"
               f"    os.pwrite(fd, b'x' * {length}, {offset})\n")
    process = subprocess.Popen(["/usr/bin/python3", "-c", program, path], stdin=subprocess.PIPE)
    try:
        yield process.pid
    finally:
        process.stdin.close()
        check_equal(process.wait(_PATIENCE), 0, "the load's end")


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
