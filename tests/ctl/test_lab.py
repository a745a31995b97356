"""alignctl lab: requests on a mount and off it, by -c, by a script, and at a prompt."""

import os
import re
import signal
import subprocess
import tempfile
import time

from ctl_testing import (Terminal, alignctl, alignfs, begin, binary, check, check_equal, loop_disk,
                         refused)

begin()


def lab(file, *lines):
    """The output for `lines`, all of which must be understood."""
    options = [option for line in lines for option in ("-c", line)]
    outcome = alignctl("lab", file, *options)
    check_equal((outcome.returncode, outcome.stderr), (0, ""), f"lab {lines}")
    # Without the line that tells of the opening.
    return outcome.stdout.partition("\n")[2]


def script(file, text, **more):
    return subprocess.run([binary(), "lab", file], input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=60, **more)


def has(text, *patterns):
    """`text` must hold them, in this order."""
    rest = text
    for pattern in patterns:
        found = re.search(pattern, rest, re.MULTILINE)
        check(found, f"no {pattern!r} in {rest!r} of {text!r}")
        rest = rest[found.end():]


def content(path):
    with open(path, "rb") as file:
        return file.read()


def make(path, size=16384):
    with open(path, "wb") as file:
        file.write(bytes(range(256)) * (size // 256))
        os.fsync(file.fileno())
    # As on a disk that was mounted just now: what is in the page cache goes another way.
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    return path


def leftovers(directory):
    return [name for name in os.listdir(directory) if name.startswith(".alignctl-")]


def requests(disk):
    make(disk + "/file")
    with alignfs(disk) as mount:
        file = mount + "/file"
        has(lab(file, "read 4k @4k"), r"^pread\(fd \d+, 4096 bytes, offset 4096\) = 4096, ",
            r"^below: 1 request; 1 block of 4096 read, 0 bytes written$")
        # What happened is asked of the daemon: a bounced write reads and writes its block.
        has(lab(file, "write 1000 @512 mem+16", "why"), r"^pwrite\(fd \d+, 1000 bytes, offset 512\) = 1000, ",
            r"^  memory  0x[0-9a-f]*010 is 16 past a 512-byte boundary ", r"^  offset  512 is 512 past",
            r"^  length  1000 is 3096 short",
            r"^below: 1 request, 1 bounced or split; 1 block of 4096 read, 1 block of 4096 written$",
            r"^alignfs: bounced: pwrite\(.* on /file by alignctl")
        check_equal(content(disk + "/file")[500:1520],
                    (bytes(range(256)) * 8)[500:512] + b"a" * 1000 + (bytes(range(256)) * 8)[1512:1520],
                    "exactly these bytes")
        has(lab(file, "writev 512,512+8,100 @8k", "readv 4k,4k @0"), r"^pwritev\(fd \d+, 3 segments, 1124 bytes, ",
            "segment 2 of 3", "1 bounced", r"^preadv\(.*2 segments, 8192 bytes, offset 0\) = 8192", "2 blocks of 4096 read")
        has(lab(file, "write 4k @0 x4"), "^4 of 4 calls, 16384 bytes; the time of all and the last:$", "offset 12288",
            r"^below: 4 requests; 0 bytes read, 4 blocks of 4096 written$")
        check_equal(content(disk + "/file"), b"a" * 16384, "all four")
        has(lab(file, "append 100"), r"^write\(fd \d+, 100 bytes, offset 16384\) = 100", "100 bytes through the page cache")
        check_equal(os.path.getsize(disk + "/file"), 16484, "size after an append")
        has(lab(file, "truncate 10", "fsync", "hexdump 0 64"), r"^ftruncate\(fd \d+, 10\) = 0", r"^fsync\(fd \d+\) = 0",
            "^below: .*1 fsync$", r"^00000000  61 61 61 61 61 61 61 61 61 61 +\|aaaaaaaaaa\|$")
        check_equal(os.path.getsize(disk + "/file"), 10, "size after truncate")
        has(lab(file, "hexdump 10 5"), "^the file ends at 10$")
        has(lab(file, "read 100 @10"), r"= 0, ")
        has(lab(file, "open plain", "write 3", "open direct dsync", "open plain sync ro", "write 3"),
            "open plain, on alignfs$", r"^pwrite\(fd \d+, 3 bytes, offset 0\) = 3", "open direct dsync",
            "open plain sync ro", "= EBADF", "open for reading alone")
        has(lab(file, "geometry"), "^  offset +4096 ", "^over ", "^  disk ")
        check(lab(file, "why") == "nothing was refused yet\n", "why before anything")
    check_equal(leftovers(disk), [], "left behind")


def maps(disk):
    make(disk + "/file", 8192)
    for options in ("", "mode=mapped", "mode=buffered"):
        with alignfs(disk, options) as mount:
            file = mount + "/file"
            outcome = lab(file, "map 0 8k", 'poke 3 "n m"', "peek 0 16", "msync", "hexdump 0 16")
            has(outcome, "^mapped: 8192 bytes from offset 0", "^stored at 3: 3 bytes$",
                r"^00000000  00 01 02 6e 20 6d 06 .*\|\.\.\.n m", r"^msync\(8192 bytes from offset 0\) = 0", "6e 20 6d")
            check_equal(content(disk + "/file")[:8], b"\x00\x01\x02n m\x06\x07", f"the bytes with {options!r}")
            outcome = alignctl("lab", file, "-c", "peek 0 1", "-c", "map 0 8k", "-c", "poke 8k x", "-c", "peek 4k 8k",
                               "-c", "map 100 4k", "-c", "map 0 0", "-c", "truncate 4k", "-c", "poke 5000 x",
                               "-c", "peek 5000 1", "-c", "peek 0 1", "-c", "truncate 8k")
            check_equal(outcome.returncode, 2, "exit status")
            has(outcome.stderr, "nothing is mapped yet", "the map holds 8192 bytes from offset 0 on", "the map holds",
                "100 past a multiple of 4096", "no bytes", "SIGBUS: the file has no page there", "SIGBUS")
            check_equal(outcome.stdout.count("|"), 2, "the last peek worked")
            make(disk + "/file", 8192)


def strict(disk):
    make(disk + "/file")
    with alignfs(disk, "unaligned=reject,align=8192") as mount:
        file = mount + "/file"
        outcome = lab(file, "write 4k mem+16", "why", "write 8k", "sweep write mem 0..512 step 128",
                      "sweep read offset 0..8k step 4k", "sweep read length 4k..8k step 4k")
        has(outcome, r"= EINVAL \(Invalid argument\)", "^alignfs: EINVAL: pwrite", "16 past a 512-byte",
            r"needs 8192: -o align=8192", "nearest request that works", "^below: 1 request, 1 refused$",
            "^alignfs: EINVAL: pwrite", r"= 8192, ", "^below: 1 request; 0 bytes read, 1 block of 8192 written$",
            # The default length is no multiple of 8192, so that two rules show.
            r"^  mem +outcome +broken +below$", r"^  0 +EINVAL +length +1 request, 1 refused$",
            r"^  128 +EINVAL +memory, length ", r"^  512 +EINVAL +length ", "^  length: needs 8192: -o align=8192$",
            "^  memory: needs 512: DMA alignment of loop", "^  offset +outcome", r"^  0 +EINVAL +length",
            r"^  4096 +EINVAL +offset, length", r"^  8192 +EINVAL +length", "^  length +outcome",
            r"^  4096 +EINVAL +length", r"^  8192 +8192 bytes +- +1 request; 1 block of 8192 read")
        table = lab(file, "compare write 8k @4k")
        has(table, r"^  +outcome +broken +read below +written below +page cache +time$",
            r"^  raw O_DIRECT on the backing +8192 bytes +- +0 +8192 +- ",
            r"^  alignfs, unaligned=reject +EINVAL +offset +0 +0 +0 ",
            r"^  alignfs, unaligned=bounce +8192 bytes +- +\d+ +\d+ ")
        check_equal(content(disk + "/file"), b"b" * 8192 + bytes(range(256)) * 32, "the file itself")
    check_equal(leftovers(disk), [], "copies left behind")


def off_the_mount(disk):
    """The same without alignfs: the disk refuses, and the code of the daemon says why."""
    file = make(disk + "/bare")
    outcome = lab(file, "write 1000 @512 mem+16", "read 4k mem+512", "sweep write length 512..4096 step 1792",
                  "compare writev 512,512 @0", "compare read 4k")
    has(outcome, r"= EINVAL", "^alignfs: EINVAL: pwrite.* by alignctl", "needs 512: DMA alignment of loop",
        "needs 4096: direct I/O alignment of loop", "^below: nothing, the kernel refused it$", r"^pread\(.* = 4096",
        "^below: 1 block of 4096 read from a disk, 0 bytes written",
        r"^  512 +EINVAL +length ", r"^  2304 +EINVAL +length ", r"^  4096 +4096 bytes +- ", "^  length: needs 4096",
        r"^  raw O_DIRECT on the backing +EINVAL +length ", r"^  alignfs, unaligned=reject +EINVAL +length ",
        r"^  alignfs, unaligned=bounce +1024 bytes +- +4096 +4096 +0 ",
        r"^  raw O_DIRECT on the backing +4096 bytes +- +4096 ")
    check_equal(content(file), bytes(range(256)) * 64, "nothing was written but to copies")
    check_equal(leftovers(disk), [], "copies left behind")
    # Of several calls the last may fail: what the others did is told all the same.
    with tempfile.NamedTemporaryFile(dir=disk) as near_the_end:
        outcome = lab(near_the_end.name, f"write 4k @{(1 << 44) - 3 * 4096} x4")
        has(outcome, "^3 of 4 calls, 8192 bytes", "= EFBIG", "^below: .* 2 blocks of 4096 written")
    has(alignctl("lab", file, "-c", "truncate 9223372036854775807").stdout, "= EFBIG", "^below: nothing, the kernel refused it")
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as lenient:
        has(alignctl("lab", lenient.name, "-c", "write 10 @1").stdout, "nothing vouches for direct I/O here", "= 10, ")


def files_with_holes(disk):
    """Copies have the holes of the file: else they would be other files, and far larger."""
    file = disk + "/holes"
    with open(file, "wb") as sparse:
        for block in range(0, 4096, 2):
            os.pwrite(sparse.fileno(), b"d" * 4096, block * 4096)
    before = os.statvfs(disk).f_bfree
    lab_process = subprocess.Popen([binary(), "lab", file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    lab_process.stdin.write("sweep read mem 0..4000k step 1k\n")
    lab_process.stdin.flush()
    deadline = time.monotonic() + 30
    while not (names := leftovers(disk)) or not os.path.exists(f"{disk}/{names[0]}/file") or \
            os.path.getsize(f"{disk}/{names[0]}/file") != os.path.getsize(file):
        check(time.monotonic() < deadline, "no copy was made")
    used = (before - os.statvfs(disk).f_bfree) * os.statvfs(disk).f_bsize
    lab_process.send_signal(signal.SIGINT)
    lab_process.communicate(timeout=60)
    check_equal(lab_process.returncode, 130, "exit status of an interrupted script")
    check_equal(leftovers(disk), [], "copies left behind")
    check(used < 10 << 20, f"a copy of 8 MiB took {used}")
    os.unlink(file)


def a_file_that_goes(disk):
    file = make(disk + "/gone")
    process = subprocess.Popen([binary(), "lab", file], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    os.unlink(file)
    out, err = process.communicate("write 10 @1\ncompare read 4k\nread 4k\n", timeout=60)
    check_equal(process.returncode, 2, "exit status")
    has(err, "^alignctl: cannot look at .*No such file", "^alignctl: cannot look at .*No such file")
    has(out, "= EINVAL", "^> read 4k$", r"^pread\(.* = 4096")


def names_that_a_terminal_obeys(disk):
    file = make(disk + "/n\x1b[31mX")
    outcome = alignctl("lab", file, "-c", "open dir\x1b[31mect", "-c", "read 4\x1b", "-c", "compare read 4k")
    check("\x1b" not in outcome.stdout + outcome.stderr, f"raw escapes: {outcome}")
    has(outcome.stdout, r"^.*/n\\x1b\[31mX: 16384 bytes", "raw O_DIRECT")
    refused("lab", file + "gone", naming=r"\x1b")
    piped = script(file, "read 4k \x1b[31m\n")
    check("\x1b" not in piped.stdout + piped.stderr, f"raw escapes: {piped}")


def scripts(disk):
    file = make(disk + "/file")
    with alignfs(disk) as mount, tempfile.TemporaryDirectory() as place:
        file = mount + "/file"
        outcome = script(file, "# a comment\n\nread 4k\nread '4k\nsave " + place + "/one\nquit\nread 8k\n")
        check_equal(outcome.returncode, 2, "a garbled line")
        has(outcome.stderr, "^alignctl: a closing ' is missing$")
        has(outcome.stdout, "^> read 4k$", r"^pread\(fd", "^> read '4k$", "^> save ", "^lines saved: 1$")
        check("8192" not in outcome.stdout, "nothing after quit")
        check_equal(content(place + "/one"), b"read 4k\n", "a saved session")
        has(lab(file, f"run {place}/one"), "^> read 4k$", r"^pread\(fd")
        with open(place + "/two", "w") as endless:
            endless.write(f"run {place}/two\n")
        for line, says in ((f"run {place}/two", "without end"), (f"run {place}/none", "No such file"),
                           (f"save {place}/one", "File exists"), ("save", "it goes like this: save FILE"),
                           ("bogus", "'bogus' is no command"), ("read 5z", "'5z' is no length"),
                           ("read 4k @9223372036854775808", "largest offset"), ("read 900000g", "too large"),
                           ("read 4k mem+900000g", "too large"), ("write", "for example: write 1000 @512"),
                           ("open sideways", "neither direct nor plain"), ("open direct x", "none of dsync"),
                           ("append 10 @5", "end of file"), ("compare copy 4k", "none of read"),
                           ("hexdump 0 1m", "shown at a time"), ("geometry here", "it goes like this: geometry"),
                           ("bo\x1b[31mgus", r"'bo\\x1b\[31mgus' is no command")):
            outcome = alignctl("lab", file, "-c", line, "-c", "read 4k")
            check_equal(outcome.returncode, 2, f"exit status of {line!r}")
            check_equal(len(outcome.stderr.splitlines()), 1, f"{line!r} said {outcome.stderr!r}")
            has(outcome.stderr, "^alignctl: .*" + says)
            has(outcome.stdout, r"^pread\(fd")
        for line in ("help", *[f"help {word}" for word in ("read", "sweep", "quit")]):
            has(lab(file, line), "for example|sweep write mem")
        os.truncate(disk + "/file", 0)
        with open(disk + "/file", "wb") as sparse:
            sparse.truncate(1 << 40)
        has(lab(file, "compare read 4k @512g"), "raw O_DIRECT.* 4096 bytes")
        check_equal(leftovers(disk), [], "copies left behind")

    refused("lab", disk + "/none", naming="No such file")
    refused("lab", disk, naming="is a directory")
    refused("lab", "/dev/null", naming="no regular file")
    refused("lab", naming="FILE is required")


def a_full_disk():
    with loop_disk(megabytes=64) as disk:
        make(disk + "/file", 30 << 20)
        outcome = alignctl("lab", disk + "/file", "-c", "compare read 4k", "-c", "read 4k")
        check_equal(outcome.returncode, 2, "exit status")
        has(outcome.stderr, "^alignctl: cannot copy .*No space left")
        has(outcome.stdout, "= 4096")
        check_equal(leftovers(disk), [], "copies left behind")


def a_mount_that_goes(disk):
    make(disk + "/file")
    with tempfile.TemporaryDirectory() as mount:
        daemon = subprocess.Popen([os.environ["ALIGNFS_BIN"], "-f", disk, mount], stderr=subprocess.DEVNULL)
        try:
            while not os.path.ismount(mount):
                time.sleep(0.01)
            terminal = Terminal("lab", mount + "/file")
            terminal.until("lab> ")
            terminal.type("read 4k\n")
            terminal.until("1 block of 4096 read")
            daemon.kill()
            daemon.wait()
            for line in ("read 4k", "compare read 4k", "geometry", "open direct", "hexdump 0 1"):
                terminal.text = ""
                terminal.type(line + "\n")
                terminal.until(r"alignctl: .*\n(.*\n)*.*lab> ")
            terminal.type("quit\n")
            check_equal(terminal.end(), 0, "exit status")
        finally:
            daemon.kill()
            daemon.wait()
            subprocess.run(["umount", "-l", mount], check=False)


def at_the_prompt(disk):
    make(disk + "/file")
    with alignfs(disk) as mount, tempfile.TemporaryDirectory() as home:
        os.environ["XDG_STATE_HOME"] = home
        terminal = Terminal("lab", mount + "/file")
        terminal.until("lab> ")
        terminal.type("swe\t")  # completed
        terminal.until("swe.*ep ")
        terminal.type("write mem 0..256 step 128\n")
        terminal.until(r"256 +4096 bytes")
        terminal.until("lab> $")
        terminal.type("read 4\t\t")  # the second shows what there is
        terminal.until(r"4g\s+4k\s+4m")
        terminal.type("k\n")
        terminal.until(r"pread\(fd(.*\n)*lab> $")
        terminal.type("\x1b[A")  # the line before
        terminal.text = ""
        terminal.type("\n")
        terminal.until(r"pread\(fd(.*\n)*lab> $")
        terminal.type("garbled")
        terminal.text = ""
        terminal.type("\x03")  # takes it back
        terminal.until("lab> $")
        terminal.type("nonsense\n")
        terminal.until(r"'nonsense' is no command(.*\n)*lab> $")
        # The library shows its prompt first: only then is Ctrl-D a key.
        deadline = time.monotonic() + 30
        while terminal.line_mode() and time.monotonic() < deadline:
            time.sleep(0.01)
        terminal.type("\x04")
        check_equal(terminal.end(), 0, "exit status after Ctrl-D")
        again = Terminal("lab", mount + "/file")
        again.until("lab> ")
        again.type("\x1b[A\x1b[A")
        again.until("read 4k")
        again.type("\n")
        again.until(r"pread\(fd")
        again.type("sweep read mem 0..4000k step 1k\n")
        deadline = time.monotonic() + 30
        while not leftovers(disk):
            check(time.monotonic() < deadline, "no copy was made")
            time.sleep(0.001)
        again.text = ""
        again.type("\x03")  # what has been found is shown
        again.until(r"(mem +outcome|interrupted)(.*\n)*lab> $")
        check(len(again.text.splitlines()) < 4000, "the sweep was not interrupted")
        check_equal(leftovers(disk), [], "copies left after Ctrl-C")
        os.kill(again.pid, signal.SIGTERM)
        check_equal(again.end(), 130, "exit status after SIGTERM")


with loop_disk() as shared:
    requests(shared)
    maps(shared)
    strict(shared)
    off_the_mount(shared)
    files_with_holes(shared)
    a_file_that_goes(shared)
    names_that_a_terminal_obeys(shared)
    scripts(shared)
    a_mount_that_goes(shared)
    at_the_prompt(shared)
a_full_disk()
