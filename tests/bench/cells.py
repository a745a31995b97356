"""What is measured: jobs of fio, and walks over many small files."""

import json
import os
import shutil
import stat
import subprocess
import tempfile
import time

FILE, GROWS = "bench.dat", "grows.dat"
FILE_BYTES = 512 << 20
DIRECT = (("", "mode=direct"), ("over io_uring", "fuse_uring=on"))
# What opens with O_DIRECT reaches the backing file with it, wherever the kernel passes it on.
ALIGNED = DIRECT + (("buffered passthrough", "mode=buffered,passthrough,fuse_uring=on"),)
UNALIGNED = (("bounce", "unaligned=bounce"), ("split", "unaligned=split"),
             ("bounce over io_uring", "unaligned=bounce,fuse_uring=on"))
# What is the default where the daemon finds itself in the machine's first mount namespace has to be
# asked for here: the benchmark has one of its own.
MAPPED = (("mapped", "mode=mapped,fuse_uring=on"),
          ("mapped by /dev/fuse", "mode=mapped,fuse_uring=off"))
CACHED = MAPPED + (("buffered", "mode=buffered,fuse_uring=on"),
                   ("mapped passthrough", "mode=mapped,passthrough,fuse_uring=on"))


class Refused(Exception):
    """The place cannot do what the cell asks for."""


def cpu_seconds(pid):
    """User and system time of a process with all its threads."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def prepare(directory, hot):
    """The file that all places share: written out, so that no place pays for its allocation."""
    path = os.path.join(directory, FILE)
    if os.path.exists(path) and stat.S_ISBLK(os.stat(path).st_mode):
        return path
    if not os.path.exists(path) or os.path.getsize(path) != FILE_BYTES:
        block = os.urandom(1 << 20)
        with open(path, "wb") as file:
            for _ in range(FILE_BYTES >> 20):
                file.write(block)
            os.fsync(file.fileno())
    with open(path, "rb") as file:
        if hot:
            while file.read(1 << 20):
                pass
        else:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return path


class FioCell:
    every = 1

    def __init__(self, name, job, *, bandwidth=False, alignfs=ALIGNED, peers=True, raw=True,
                 hot=False, grows=False, loop512=False):
        self.name, self.job = name, job
        self.unit = "MiB/s" if bandwidth else "requests/s"
        self.alignfs, self.peers, self.raw, self.loop512 = alignfs, peers, raw, loop512
        self._bandwidth, self._hot, self._grows = bandwidth, hot, grows

    def run(self, directory, daemon, seconds):
        if self._grows:
            path = os.path.join(directory, GROWS)
            size = str(FILE_BYTES) if os.path.islink(path) else "4G"
        else:
            path = prepare(directory, self._hot)
            size = str(FILE_BYTES)
        before = cpu_seconds(daemon) if daemon else 0
        command = ["fio", "--name=cell", "--filename=" + path, "--size=" + size, "--thread",
                   "--time_based", f"--runtime={seconds}", "--invalidate=0", "--fallocate=none",
                   "--norandommap", "--randrepeat=0", "--group_reporting",
                   "--output-format=json", *self.job.split()]
        outcome = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True)
        if self._grows and os.path.isfile(path):
            os.unlink(path)
        if outcome.returncode != 0:
            reason = outcome.stderr.strip().partition("\n")[0]
            raise Refused(f"{self.name}: {reason or 'fio failed'}")
        text = outcome.stdout
        job = json.loads(text[text.index("{"):])["jobs"][0]
        requests = job["read"]["total_ios"] + job["write"]["total_ios"]
        elapsed = max(job["read"]["runtime"], job["write"]["runtime"]) / 1000
        moved = job["read"]["io_bytes"] + job["write"]["io_bytes"]
        spent = (cpu_seconds(daemon) - before) if daemon else 0
        spent += (job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] / 1000
        return {"rate": (moved / (1 << 20) if self._bandwidth else requests) / elapsed,
                "cpu": spent / max(requests, 1)}


class MetaCell:
    """Things done to many files: how many of them a second. One takes as long as many jobs of fio
    and differs less, so that every other round is enough."""
    every = 2
    unit = "files/s"
    alignfs, peers, raw, loop512 = DIRECT + MAPPED, True, True, False

    def __init__(self, name, walk):
        self.name, self._walk = name, walk

    def run(self, directory, daemon, seconds):
        del seconds
        top = tempfile.mkdtemp(dir=directory)
        before = cpu_seconds(daemon) if daemon else 0
        try:
            files, elapsed = self._walk(top)
        except (OSError, subprocess.CalledProcessError) as reason:
            raise Refused(f"{self.name}: {reason}") from reason
        finally:
            shutil.rmtree(top, ignore_errors=True)
        # What the walking program spends is the same everywhere, and left out.
        return {"rate": files / elapsed,
                "cpu": (cpu_seconds(daemon) - before) / files if daemon else None}


def small_files(top):
    """Creates, stats, lists and unlinks 50,000 files in 50 directories."""
    count = 50_000
    begun = time.monotonic()
    for number in range(50):
        os.mkdir(os.path.join(top, str(number)))
    names = [os.path.join(top, str(number % 50), str(number)) for number in range(count)]
    for name in names:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT, 0o644))
    for name in names:
        os.stat(name)
    for number in range(50):
        os.listdir(os.path.join(top, str(number)))
    for name in names:
        os.unlink(name)
    return count, time.monotonic() - begun


def source_tree(top):
    """Unpacks an archive of 5000 files into a repository, and asks git for its status."""
    count = 5000
    with tempfile.TemporaryDirectory() as outside:
        for number in range(count):
            folder = os.path.join(outside, "tree", str(number // 100))
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, f"{number}.c"), "w") as file:
                file.write(f"int f{number}(void) {{ return {number}; }}\n" * (number % 200 + 1))
        archive = os.path.join(outside, "tree.tar")
        subprocess.run(["tar", "-cf", archive, "-C", outside, "tree"], check=True)
        environment = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null",
                           GIT_OPTIONAL_LOCKS="1")
        begun = time.monotonic()
        subprocess.run(["tar", "-xf", archive, "-C", top], check=True)
        for command in (["init", "-q"], ["add", "-A"], ["status", "--short"]):
            subprocess.run(["git", *command], cwd=top, env=environment, check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return count, time.monotonic() - begun


PSYNC = "--ioengine=psync --direct=1"
HOT = "--ioengine=psync --direct=0"
J4 = "--numjobs=4"
AIO = "--ioengine=libaio --direct=1 --iodepth=16"
URING = "--ioengine=io_uring --direct=1 --iodepth=16"
MMAP = "--ioengine=mmap --direct=0"

ALL = [
    FioCell("read1m", f"{PSYNC} --rw=read --bs=1m", bandwidth=True),
    FioCell("write1m", f"{PSYNC} --rw=write --bs=1m", bandwidth=True),
    FioCell("randread4k", f"{PSYNC} --rw=randread --bs=4k"),
    FioCell("randwrite4k", f"{PSYNC} --rw=randwrite --bs=4k"),
    FioCell("randread4k_j4", f"{PSYNC} {J4} --rw=randread --bs=4k"),
    FioCell("randwrite4k_j4", f"{PSYNC} {J4} --rw=randwrite --bs=4k"),
    FioCell("randread4k_q16", f"{AIO} --rw=randread --bs=4k"),
    FioCell("randwrite4k_q16", f"{AIO} --rw=randwrite --bs=4k"),
    FioCell("randread4k_uring", f"{URING} --rw=randread --bs=4k"),
    FioCell("randwrite4k_uring", f"{URING} --rw=randwrite --bs=4k"),
    # A kernel that passes it on refuses such a buffer.
    FioCell("stream16", f"{PSYNC} --rw=read --bs=1m --iomem_align=16", bandwidth=True,
            alignfs=DIRECT, raw=False),
    FioCell("unaligned_rw", "--ioengine=psync --rw=randwrite --bs=1000 --blockalign=1000",
            alignfs=UNALIGNED, peers=False, loop512=True),
    FioCell("append100", "--ioengine=psync --rw=write --bs=100", alignfs=UNALIGNED, peers=False,
            grows=True, loop512=True),
    FioCell("mapped_read1m", f"{HOT} --rw=read --bs=1m", bandwidth=True, alignfs=CACHED, hot=True),
    FioCell("mapped_write1m", f"{HOT} --rw=write --bs=1m", bandwidth=True, alignfs=CACHED,
            hot=True),
    FioCell("mapped_randread4k", f"{HOT} --rw=randread --bs=4k", alignfs=CACHED, hot=True),
    FioCell("mapped_randwrite4k", f"{HOT} --rw=randwrite --bs=4k", alignfs=CACHED, hot=True),
    FioCell("mapped_randread4k_j4", f"{HOT} {J4} --rw=randread --bs=4k", alignfs=CACHED, hot=True),
    FioCell("mapped_randwrite4k_j4", f"{HOT} {J4} --rw=randwrite --bs=4k", alignfs=CACHED,
            hot=True),
    FioCell("mapped_loads", f"{MMAP} --rw=randread --bs=4k", alignfs=CACHED, hot=True),
    FioCell("mapped_stores", f"{MMAP} --rw=randwrite --bs=4k", alignfs=CACHED, hot=True),
    MetaCell("meta_files", small_files),
    MetaCell("meta_tree", source_tree),
]
