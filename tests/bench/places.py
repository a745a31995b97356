"""Where a cell runs: the raw disk, a mount of alignfs, or one of another passthrough filesystem."""

import contextlib
import ctypes
import os
import shutil
import subprocess
import tempfile
import time

_PATIENCE = 30  # seconds; for what normally takes milliseconds


def begin():
    """Keeps mounts to this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_mount_namespace, recursive, private = 0x20000, 1 << 14, 1 << 18
    if (libc.unshare(new_mount_namespace) != 0
            or libc.mount(b"none", b"/", None, recursive | private, None) != 0):
        raise OSError(ctypes.get_errno(), "private mount namespace")


def version(program):
    """What the program says of its version, or None if it is not installed."""
    if shutil.which(program) is None:
        return None
    answer = subprocess.run([program, "--version"], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
    return answer.stdout.strip().splitlines()[0]


def unmount(path):
    for _ in range(500):
        if subprocess.run(["umount", path], stderr=subprocess.DEVNULL).returncode == 0:
            return
        time.sleep(0.02)
    subprocess.run(["umount", "--lazy", path], check=True)
    raise RuntimeError(f"{path} stayed busy")


@contextlib.contextmanager
def directory():
    path = tempfile.mkdtemp(prefix="alignfs-bench-")
    try:
        yield path
    finally:
        os.rmdir(path)


@contextlib.contextmanager
def loop_disk(sector, megabytes):
    """A directory on an ext4 disk in memory with sectors of that size."""
    with directory() as mountpoint, tempfile.NamedTemporaryFile(dir="/dev/shm") as image:
        image.truncate(megabytes << 20)
        device = subprocess.run(
            ["losetup", "--sector-size", str(sector), "--find", "--show", image.name],
            check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        try:
            subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", device],
                           check=True)
            subprocess.run(["mount", device, mountpoint], check=True)
        finally:
            # In use it stays until it is unmounted, and goes then by itself.
            subprocess.run(["losetup", "--detach", device], check=True)
        try:
            yield mountpoint
        finally:
            unmount(mountpoint)


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
        with directory() as mountpoint, tempfile.TemporaryFile() as log:
            daemon = subprocess.Popen(self._command(disk, mountpoint), stdin=subprocess.DEVNULL,
                                      stdout=log, stderr=log)
            try:
                end = time.monotonic() + _PATIENCE
                while not os.path.ismount(mountpoint):
                    if daemon.poll() is not None or time.monotonic() > end:
                        log.seek(0)
                        raise RuntimeError(f"{self.name} did not mount: {log.read().decode()}")
                    time.sleep(0.005)
                yield mountpoint, daemon.pid
            finally:
                if os.path.ismount(mountpoint):
                    unmount(mountpoint)
                try:
                    daemon.wait(_PATIENCE)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()


RAW = Place("raw")


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
            "mergerfs", "-f", "-o", "cache.files=off,category.create=ff,minfreespace=0", disk, mountpoint],
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
    if cell.peers:
        result += peers(options)
    return result
