"""alignctl geometry: files on disks of both sector sizes, mounted and not, and what is no file."""

import os
import subprocess
import tempfile

from ctl_testing import (Terminal, alignfs, begin, check, check_equal, done, loop_disk, refused,
                         valid)

begin()


def make_file(directory):
    path = os.path.join(directory, "file")
    with open(path, "wb") as file:
        file.write(b"x" * 8192)
    return path


def facts(path):
    return valid(done("geometry", "--json", path), "geometry")


for sector in (512, 4096):
    with loop_disk(sector) as disk:
        path = make_file(disk)
        seen = facts(path)
        for name in ("offset", "read_offset", "length"):
            check_equal(seen[name], {"bytes": sector, "source": "statx"}, f"{name} on {sector}")
        check_equal(seen["verdict"], "native", "verdict")
        check_equal(seen["disk"]["logical_block"], sector, "logical block")
        check(seen["disk"]["name"].startswith("loop"), f"disk {seen['disk']}")
        check_equal(seen["filesystem"]["mountpoint"], disk, "filesystem")
        check_equal((seen["mount"], seen["below"]), (None, None), "no alignfs")
        text = done("geometry", path)
        for part in (f"offset      {sector}", "from statx", "native: ", f"logical block {sector}",
                     f"ext4 on {disk}"):
            check(part in text, f"{part!r} in {text}")
        check_equal(facts(disk)["offset"]["bytes"], sector, "of a directory")
        device = "/dev/" + seen["disk"]["name"]
        check_equal(facts(device)["disk"]["name"], seen["disk"]["name"], "of a disk itself")
        check_equal(done("geometry", path, disk).count("verdict"), 2, "two paths")
        terminal = Terminal("geometry", path)
        check_equal(terminal.end(), 0, "on a terminal")
        check_equal(terminal.text.replace("\r\n", "\n"), text, "on a terminal")

        with alignfs(disk, "unaligned=reject,align=8192") as mount:
            mounted = facts(os.path.join(mount, "file"))
            check_equal(mounted["offset"], {"bytes": 8192, "source": "option"}, "on the mount")
            check_equal(mounted["mount"], {"mode": "direct", "unaligned": "reject"}, "the mount")
            check_equal(mounted["below"], seen, "what lies below")
            text = done("geometry", os.path.join(mount, "file"))
            for part in ("-o align=8192", "mode=direct unaligned=reject", "emulated", "over " + path):
                check(part in text, f"{part!r} in {text}")
            check_equal(facts(mount)["offset"]["bytes"], 8192, "of the mount itself")
            os.makedirs(disk + "/part/place", exist_ok=True)
            make_file(disk + "/part")
            with tempfile.TemporaryDirectory() as elsewhere:
                subprocess.run(["mount", "--bind", mount + "/part", elsewhere], check=True)
                try:
                    check_equal(facts(elsewhere + "/file")["below"]["path"], disk + "/part/file",
                                "through a bind mount of a part")
                finally:
                    subprocess.run(["umount", elsewhere], check=True)

with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
    seen = facts(make_file(memory))
    check_equal((seen["verdict"], seen["disk"]), ("unproven", None), "tmpfs")
    check("misaligned requests pass" in done("geometry", memory + "/file"), "tmpfs in words")
    os.mkfifo(memory + "/fifo")
    refused("geometry", memory + "/fifo", naming="neither a file")
    refused("geometry", memory + "/gone", naming="No such file")
refused("geometry", naming="PATH")
refused("geometry", "--loud", "/", naming="--loud")
