"""Where a cell runs: the raw disk, a mount of alignfs, or one of another passthrough filesystem."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile

import cells

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "python"))
from alignfs_testing import (attach_loop, detach_loop, loop_disk, own_mounts,  # noqa: E402,F401
                             served)


def version(program):
    """What the program says of its version, or None if it is not installed."""
    if shutil.which(program) is None:
        return None
    answer = subprocess.run([program, "--version"], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
    return answer.stdout.strip().splitlines()[0]


class Place:
    """A directory to measure in. `command` gives the arguments of a daemon that stays in the
    foreground; without one it is the raw disk."""

    def __init__(self, name, command=None, peer=False):
        self.name, self.peer = name, peer
        self._command = command

    @contextlib.contextmanager
    def mounted(self, disk):
        """The directory, and the daemon's pid or None."""
        if self._command is None:
            yield disk, None
            return
        with served(lambda mountpoint: self._command(disk, mountpoint),
                    must_end_well=not self.peer) as place:
            yield place


RAW = Place("raw")


class Loop512:
    """The kernel's own way to take any request on a disk with large sectors: a loop device with
    512-byte sectors over the measured file."""
    name, peer = "loop 512", False

    @contextlib.contextmanager
    def mounted(self, disk):
        file = cells.prepare(disk, hot=False)
        device = attach_loop(file, 512)
        try:
            with tempfile.TemporaryDirectory() as directory:
                for name in (cells.FILE, cells.GROWS):
                    os.symlink(device, os.path.join(directory, name))
                yield directory, None
        finally:
            detach_loop(device)


def alignfs(name, binary, options):
    return Place(name, lambda disk, mountpoint: [binary, "-f", "-o", options + ",log_level=warn",
                                                 disk, mountpoint])


def peers(options):
    """Other passthrough filesystems, told to pass direct I/O on as far as they can."""
    found = []
    if options.no_peers:
        return found
    if shutil.which("bindfs"):
        found.append(Place("bindfs", lambda disk, mountpoint: [
            "bindfs", "-f", "-o", "direct_io", "--forward-odirect=4096", disk, mountpoint],
            peer=True))
    if shutil.which("mergerfs"):
        found.append(Place("mergerfs", lambda disk, mountpoint: [
            "mergerfs", "-f", "-o", "cache.files=off,category.create=ff,minfreespace=0", disk,
            mountpoint],
            peer=True))
    if options.passthrough_hp:
        found.append(Place("passthrough_hp", lambda disk, mountpoint: [
            options.passthrough_hp, "--direct-io", "--foreground", "--nopassthrough", disk,
            mountpoint], peer=True))
    return found


def of_cell(options, cell):
    """The places that a cell is measured in, the raw disk first."""
    result = [RAW] if cell.raw else []
    for given in options.alignfs:
        name, _, binary = given.rpartition("=")
        for label, mount_options in cell.alignfs:
            full = " ".join(part for part in (name or "alignfs", label) if part)
            result.append(alignfs(full, os.path.abspath(binary), mount_options))
    if cell.loop512 and not options.no_peers:
        result.append(Loop512())
    if cell.peers:
        result += peers(options)
    return result
