"""alignctl top on a terminal: figures, sorting, groups, explanations, sizes, and all ways out."""

import os
import re
import signal

import pyte

from ctl_testing import (Terminal, alignfs, begin, check, check_equal, load, loop_disk,
                         misaligned_write, prepared, refused)

begin()


class Window(Terminal):
    """alignctl top, and what its terminal shows."""

    def __init__(self, mount, rows=24, columns=100):
        super().__init__("top", mount, term="linux")
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self._screen)
        self._seen = 0
        super().resize(rows, columns)

    def resize(self, rows, columns):
        self._screen.resize(rows, columns)
        super().resize(rows, columns)

    def display(self):
        self._stream.feed(self.text[self._seen:])
        self._seen = len(self.text)
        return "\n".join(line.rstrip() for line in self._screen.display)

    def shows(self, pattern):
        """Waits until the window as a whole matches `pattern`; the match."""
        try:
            self._until(lambda: re.search(pattern, self.display(), re.MULTILINE | re.DOTALL), "")
        except AssertionError:
            raise AssertionError(f"no {pattern!r} in the window:\n{self.display()}") from None
        return re.search(pattern, self.display(), re.MULTILINE | re.DOTALL)

    def press(self, key, pattern):
        self.type(key)
        return self.shows(pattern)

    def ended(self, what):
        check_equal(self.end(), 0, what)
        check(self.restored, f"{what}: the terminal echoes and reads by lines again")
        check(self.text.rfind("\x1b[?25h") > self.text.rfind("\x1b[?25l"), f"{what}: the cursor is back")


ESCAPE, ENTER, DOWN, UP = "\x1b", "\r", "\x1b[B", "\x1b[A"
FIGURE = r"[\d.]+[kKMG]?"


def columns_of(window, name):
    """The words of the row that ends with `name`."""
    return window.shows(rf"^( *[^\n]* {re.escape(name)})$")[1].split()


def figures(window, small, large):
    """A hundred bytes at a time into blocks, and a MiB at a time."""
    window.shows(r"\A" + rf"alignctl top  {re.escape(window.mount)}  mode=direct  unaligned=bounce")
    window.shows(r"\d requests/s  .*/s  .*/s below  amplified [\d.]+  adapted \d+%  refused 0\n")
    window.shows(rf"^ *{large} python3 .* /large$.*^ *{small} python3 .* /small$")
    window.shows(r"^ *PID COMMAND +RD +WR RBYTE WBYTE BELOW +AMPL ADPT +REF +MEAN PATH$")
    window.shows(rf"^ *{small} python3 +0 +{FIGURE} +0 +{FIGURE} +{FIGURE} 81\.92 100% +0 +[\d.]+[µm]?s /small$")
    window.shows(rf"^ *{large} python3 +0 +{FIGURE} +0 +{FIGURE}M +{FIGURE}M +1\.00 +0% +0 +[\d.]+[µm]?s /large$")


def sorting(window, small, large):
    by_large = rf"^ *{large} .*^ *{small} "
    by_small = rf"^ *{small} .*^ *{large} "
    window.shows(by_large + ".*sorted by bytes below")
    window.press("s", by_small + ".*sorted by amplification")
    window.press("SS", by_large + ".*sorted by bytes written")
    window.press("SS", by_small + ".*sorted by writes")


def grouping(window, small, large):
    window.press("f", r"^COMMAND .*by file, sorted")
    window.press("p", rf"^ *{small} python3 .*by process, sorted")
    window.press("b", r"by process and file, sorted")
    window.press("h", "^q quit  s S sort")
    window.press("?", "sorted by writes")


def explanation(window, small):
    window.press("k", rf"^ *{small} ")
    window.press(ENTER, rf"\AThe newest explanation for python3\[{small}\] on /small\n.*"
                        r"pwrite\(fd \d+, .*100 bytes.*Esc back")
    window.press("q", r"^ *PID COMMAND")
    window.press(DOWN + ENTER, r"\AThe newest explanation for .*/large\nNothing was refused")
    window.press(ESCAPE, r"^ *PID COMMAND")
    window.press(UP + ENTER, r"\AThe newest explanation for .*/small\n")
    window.press(ESCAPE, r"^ *PID COMMAND")


def sizes(window):
    window.resize(10, 50)
    window.shows(r"\A[^\n]*\n[^\n]*\n *PID COMMAND [^\n]* PATH\n")
    # There is no room to show anything; that it lived through them, the next one shows.
    for rows, columns in ((3, 10), (1, 1), (2, 200), (200, 2), (4, 30)):
        window.resize(rows, columns)
        window.type("sSkj" + ENTER + DOWN + "q")
    window.resize(24, 100)
    window.shows(r"^ *PID COMMAND .* /large$")


def strange_names(mount, window):
    strange, deep = "a\x1b[2J\nb", "/deep" + "/directory" * 5
    os.makedirs(mount + deep)
    with load(f"{mount}/{strange}", 100, 0.01), load(f"{mount}{deep}/wal", 100, 0.01):
        window.shows(r" /a\\x1b\[2J\\x0ab$")
        window.shows(r" …[a-z/]*ectory/wal$")
    check("\x1b[2J\nb" not in window.text, "raw")


def tour(mount):
    window = Window(mount)
    window.mount = mount
    window.shows("nothing was read or written yet")
    with load(mount + "/small", 100, 0.002) as small, load(mount + "/large", 1 << 20, 0.1) as large:
        for part in (figures, sorting, grouping):
            part(window, small, large)
        explanation(window, small)
        sizes(window)
        strange_names(mount, window)
    window.shows("0 requests/s  0 B/s  0 B/s below  amplified -  adapted -  refused 0")
    return window


def ways_out(mount):
    for what, leave in (("q", lambda window: window.type("q")),
                        ("Ctrl-C", lambda window: window.type("\x03")),
                        ("SIGTERM", lambda window: os.kill(window.pid, signal.SIGTERM))):
        window = Window(mount)
        window.shows("sorted by")
        leave(window)
        window.ended(what)
        check("alignctl: " not in window.text, f"{what}: {window.text!r}")


def refusals(disk):
    with alignfs(disk, "unaligned=reject") as mount:
        window = Window(mount, columns=80)
        window.shows("sorted by")
        pid = misaligned_write(mount + "/refused", 1000)
        window.shows(rf"refused 1\n.*^ *{pid} python3 .* 1 +[\d.]+[µm]?s /refused$")
        window.press("p" + ENTER, rf"\AThe newest explanation for python3\[{pid}\]\n.*EINVAL: pwrite\(.*needs")
        window.press(ESCAPE, "sorted by")
        window.type("q")
        window.ended("q")


def wrong(mount):
    refused("top", mount, naming="alignctl stats")
    for term in ("nonsense", "dumb"):
        terminal = Terminal("top", mount, term=term)
        check_equal(terminal.end(), 2, f"TERM={term}")
        check(re.search(rf"\r?\n?alignctl: cannot use this terminal: TERM={term}\r\n\Z", terminal.text),
              f"TERM={term}: {terminal.text!r}")


with loop_disk() as disk:
    for name in ("small", "large"):
        prepared(f"{disk}/{name}", 1 << 20)
    with alignfs(disk) as mounted:
        on_terminal = tour(mounted)
        ways_out(mounted)
        wrong(mounted)
        # Whoever shows keeps nothing open: it is unmounted at the first try.
    on_terminal.ended("the mount is gone")
    check(f"alignctl: {mounted} was unmounted\r\n" in on_terminal.text, on_terminal.text[-200:])
    refusals(disk)
    refused("top", disk, naming="not on an alignfs mount")
