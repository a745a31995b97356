"""alignctl check: programs that are misaligned, and one that is not."""

import os
import subprocess
import tempfile
import xml.etree.ElementTree

from ctl_testing import Terminal, alignctl, begin, check, check_equal, loop_disk, refused, valid

begin()

C_PROGRAM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(void) {
  char path[4096];
  snprintf(path, sizeof path, "%s/from-c", getenv("ALIGNFS_MOUNT"));
  char *buffer = malloc(8192);  /* never on a boundary of 512: its own header is before it */
  memset(buffer, 'x', 8192);
  int fd = open(path, O_WRONLY | O_CREAT | O_DIRECT, 0644);
  ssize_t written = pwrite(fd, buffer, 4096, 0);
  close(fd);
  return written == 4096 ? 0 : 3;
}
"""


def groups(directory, *command, options=()):
    """Exit status, and {(program, operation, broken rules): calls}."""
    outcome = alignctl("check", "--json", *options, directory, "--", *command)
    report = valid(outcome.stderr.splitlines()[-1], "check")
    check_equal(report["clean"], not report["groups"], "clean")
    check_equal(report["calls"], sum(group["calls"] for group in report["groups"]), "calls")
    return outcome.returncode, {
        (group["program"], group["op"], tuple(group["broken"])): group["calls"]
        for group in report["groups"]}


def left_over():
    with open("/proc/self/mountinfo") as file:
        return [line for line in file if "alignctl-" in line]


with loop_disk() as disk, tempfile.TemporaryDirectory() as scratch:
    # Mountpoints are made there: others may be at work in the common one.
    os.environ["TMPDIR"] = scratch
    # dd stops at the first refusal, and tries once more without O_DIRECT where it was the last block.
    status, found = groups(disk, "dd", "if=/dev/zero", "of={}/dd", "bs=1000", "count=3",
                           "oflag=direct")
    check_equal(status, 1, "dd")
    check(("dd", "write", ("length",)) in found, f"dd: {found}")

    status, found = groups(disk, "fio", "--name=a", "--filename={}/fio", "--size=64k", "--direct=1",
                           "--rw=write", "--bs=4k", "--iomem_align=16", "--ioengine=psync",
                           "--thread", "--output=" + scratch + "/fio.txt")
    check_equal(status, 1, "fio")
    check(any(program == "fio" and broken == ("memory",) for program, _, broken in found),
          f"fio: {found}")

    database = ("import sqlite3, sys\n"
                "with sqlite3.connect(sys.argv[1]) as base:\n"
                "    base.execute('create table t (a)')\n"
                "    base.execute('insert into t values (1)')\n")
    sqlite = ["/usr/bin/python3", "-c", database, "{}/base"]
    check_equal(groups(disk, *sqlite), (0, {}), "SQLite opens nothing with O_DIRECT")
    os.unlink(disk + "/base")
    status, found = groups(disk, *sqlite, options=("--all",))
    check_equal(status, 1, "SQLite with --all")
    check(any("memory" in broken for _, _, broken in found), f"SQLite: {found}")

    with open(scratch + "/program.c", "w") as file:
        file.write(C_PROGRAM)
    subprocess.run(["cc", "-o", scratch + "/program", scratch + "/program.c"], check=True)
    check_equal(groups(disk, scratch + "/program"), (1, {("program", "write", ("memory",)): 1}),
                "a buffer from malloc")
    refused("check", "--mem-align", "16", disk, "--", "true", naming="mem_align")

    status, found = groups(disk, "dd", "if=/dev/zero", "of={}/audit", "bs=1000", "count=5",
                           "oflag=direct", options=("--audit",))
    check_equal((status, sum(found.values()), os.path.getsize(disk + "/audit")), (1, 5, 5000),
                f"--audit lets dd go on to the end: {found}")
    check_equal(groups(disk, "dd", "if=/dev/zero", "of={}/plain", "bs=1000", "count=5",
                       options=("--audit",)), (0, {}), "without O_DIRECT it is not judged")

    clean = ["dd", "if=/dev/zero", "of={}/clean", "bs=4096", "count=3", "oflag=direct",
             "status=none"]
    outcome = alignctl("check", disk, "--", *clean)
    check_equal((outcome.returncode, outcome.stderr), (0, "clean: no misaligned call\n"), "clean")
    check_equal(os.path.getsize(disk + "/clean"), 3 * 4096, "the file that was written")
    check_equal(groups(disk, *clean, options=("--align", "8192"))[0], 1, "but not to 8192 bytes")
    check_equal(groups(disk, "sh", "-c", "exit 7"), (7, {}), "the command's own failure")
    check_equal(groups(disk, "sh", "-c", "kill -TERM $$"), (128 + 15, {}), "killed by a signal")
    check_equal(alignctl("check", disk, "--", scratch + "/none").returncode, 127, "no such command")

    strange = "a\x1b[2J\nb"
    outcome = alignctl("check", "--junit", scratch + "/strange.xml", disk, "--", "dd",
                       "if=/dev/zero", "of={}/" + strange, "bs=1000", "count=1", "oflag=direct",
                       "status=none")
    own_words = outcome.stderr[outcome.stderr.index("1 misaligned"):]
    check("\x1b" not in own_words and r"a\x1B[2J\x0Ab".lower() in own_words.lower(),
          f"a name that would drive the terminal: {own_words!r}")
    xml.etree.ElementTree.parse(scratch + "/strange.xml")

    report = scratch + "/report.xml"
    outcome = alignctl("check", "--junit", report, disk, "--", scratch + "/program")
    check("1 misaligned call in 1 group" in outcome.stderr
          and "program: write of /from-c: memory  (1 call)" in outcome.stderr
          and "past a 512-byte boundary" in outcome.stderr, outcome.stderr)
    suite = xml.etree.ElementTree.parse(report).getroot()
    check_equal((suite.get("tests"), suite.get("failures")), ("1", "1"), "JUnit")
    check("past a 512-byte boundary" in suite[0][0].text, "the explanation in it")

    refused("check", scratch + "/none", "--", "true", naming="SOURCE")
    refused("check", disk, naming="COMMAND")
    refused("check", "--align", "1000", disk, "--", "true", naming="align")
    check_equal(left_over(), [], "nothing stays mounted")
    check_equal([name for name in os.listdir(scratch) if name.startswith("alignctl-")], [],
                "no mountpoint is left")

    # On a terminal the command has it, and Ctrl-C ends the command, not the report.
    terminal = Terminal("check", disk, "--", "sh", "-c",
                        "dd if=/dev/zero of={}/t bs=1000 count=1 oflag=direct; echo ready; read word; echo got $word; "
                        "sleep 60")
    terminal.until("ready")
    terminal.type("something\n")
    terminal.until("got something")
    terminal.type("\x03")
    terminal.until("1 misaligned call in 1 group")
    check_equal(terminal.end(), 1, "misaligned")
    check_equal(left_over(), [], "nothing stays mounted after Ctrl-C")
