"""Mounts, disks and checks for the scripts beside this file. Standard library alone."""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SKIPPED = 77
_PATIENCE = 60  # seconds; for what normally takes milliseconds


def _needs(condition, reason):
    """Ends the script where it cannot run: a skip on a laptop, a failure on a build server."""
    if not condition:
        print(("failed: " if "CI" in os.environ else "skipped: ") + reason, file=sys.stderr)
        sys.exit(1 if "CI" in os.environ else SKIPPED)


def begin():
    """Called first: checks what the script needs and keeps its mounts to itself."""
    _needs(os.geteuid() == 0, "needs root: mounts and loop devices")
    _needs("ALIGNFS_BIN" in os.environ, "set ALIGNFS_BIN to the alignfs program to be tested")
    own_mounts()


def _end(number, _):
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def own_mounts():
    """Keeps mounts to this process. Terminated, it unmounts and detaches on the way out, as after
    an interrupt from the keyboard."""
    signal.signal(signal.SIGTERM, _end)
    libc = ctypes.CDLL(None, use_errno=True)
    new_mount_namespace, recursive, private = 0x20000, 1 << 14, 1 << 18
    if (libc.unshare(new_mount_namespace) != 0
            or libc.mount(b"none", b"/", None, recursive | private, None) != 0):
        raise OSError(ctypes.get_errno(), "private mount namespace")


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def check_equal(actual, expected, what):
    if actual != expected:
        raise AssertionError(f"{what}: {_shorten(actual)} instead of {_shorten(expected)}")


def _shorten(value):
    text = repr(value)
    return text if len(text) < 200 else text[:200] + "..."


def _unmount(path):
    for _ in range(100):
        if subprocess.run(["umount", path], stderr=subprocess.DEVNULL).returncode == 0:
            return
        time.sleep(0.02)
    subprocess.run(["umount", "--lazy", path])
    raise AssertionError(f"{path} stayed busy")


@contextlib.contextmanager
def _directory(parent=None):
    path = tempfile.mkdtemp(prefix="alignfs-test-", dir=parent)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def attach_loop(file, sector):
    """A loop device over `file` with sectors of that size, to be detached by the caller."""
    return subprocess.run(["losetup", "--sector-size", str(sector), "--find", "--show", file],
                          check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def detach_loop(device):
    """In use it stays until it is unmounted, and goes then by itself."""
    subprocess.run(["losetup", "--detach", device], check=True)


@contextlib.contextmanager
def loop_disk(sector=4096, filesystem="ext4", megabytes=384, mkfs_options=()):
    """A directory on a disk with real sectors of that size."""
    with _directory() as mountpoint:
        with _directory("/dev/shm") as storage:
            image = os.path.join(storage, "disk")
            with open(image, "wb") as file:
                file.truncate(megabytes << 20)
            device = attach_loop(image, sector)
            try:
                force = "-F" if filesystem == "ext4" else "-f"
                subprocess.run(["mkfs." + filesystem, "-q", force, *mkfs_options, device],
                               check=True)
                subprocess.run(["mount", device, mountpoint], check=True)
            finally:
                detach_loop(device)
        try:
            yield mountpoint
        finally:
            _unmount(mountpoint)


@contextlib.contextmanager
def alignfs(source, options=""):
    """The mountpoint of an alignfs mount of `source`, whose daemon must end well."""
    command = [os.environ["ALIGNFS_BIN"], "-f"]
    command += ["-o", options] if options else []
    with served(lambda mountpoint: command + [source, mountpoint]) as (mountpoint, _):
        yield mountpoint


@contextlib.contextmanager
def served(command_for, must_end_well=True):
    """A mountpoint, and the pid of the daemon in the foreground that `command_for(mountpoint)`
    starts for it."""
    with _directory() as mountpoint:
        command = command_for(mountpoint)
        name = os.path.basename(command[0])
        with tempfile.TemporaryFile() as log:
            daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                _wait_until_mounted(mountpoint, daemon, name)
                yield mountpoint, daemon.pid
            finally:
                if os.path.ismount(mountpoint):
                    _unmount(mountpoint)
                try:
                    status = daemon.wait(_PATIENCE)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    status = daemon.wait()
                if status != 0 and must_end_well:
                    log.seek(0)
                    raise AssertionError(f"{name} ended with {status}: {log.read().decode()}")


def _wait_until_mounted(mountpoint, daemon, name):
    end = time.monotonic() + _PATIENCE
    while not os.path.ismount(mountpoint):
        check(daemon.poll() is None, f"{name} ended instead of mounting")
        check(time.monotonic() < end, f"{name} did not mount in time")
        time.sleep(0.005)


def events(mountpoint):
    """All events that the mount's ring holds."""
    fd = os.open(os.path.join(mountpoint, ".alignfs/events"), os.O_RDONLY | os.O_NONBLOCK)
    text = b""
    try:
        while True:
            text += os.read(fd, 65536)
    except BlockingIOError:
        return [json.loads(line) for line in text.splitlines()]
    finally:
        os.close(fd)


@contextlib.contextmanager
def opened(path, flags, mode=0o644):
    """A descriptor, closed at the end."""
    fd = os.open(path, flags, mode)
    try:
        yield fd
    finally:
        os.close(fd)


def read_plainly(path):
    with open(path, "rb") as file:
        return file.read()


# Options of a mount for each mode. The same code runs in all of them.
STRICT = "unaligned=reject"
PASSTHROUGH = ("mode=mapped,passthrough", "mode=buffered,passthrough")
# The daemon serves every request, and takes it however it is aligned.
SERVED = ("unaligned=bounce", "unaligned=split", "mode=mapped", "mode=buffered")
LENIENT = SERVED + PASSTHROUGH
MODES = LENIENT + (STRICT,)


def in_name(mode):
    """The options of a mode as part of a file name."""
    return mode.replace("=", "-").replace(",", "-")
