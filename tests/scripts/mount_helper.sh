#!/usr/bin/env bash
# mount.alignfs: which words of mount(8) reach alignfs, and which do not. alignfs itself is replaced
# by a program that prints its arguments.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT

cat >"$scratch/alignfs" <<'SH'
#!/bin/sh
printf '[%s]' "$@"
exit 7
SH
chmod +x "$scratch/alignfs"

failures=0
# check STATUS OUTPUT ARGUMENT...: what the helper prints and exits with for these arguments.
check() {
  local want_status=$1 want=$2 got status=0
  shift 2
  got=$(PATH=$scratch:$PATH "$top/mount-scripts/mount.alignfs" "$@" 2>&1) || status=$?
  if [ "$got" != "$want" ] || [ "$status" -ne "$want_status" ]; then
    printf 'mount.alignfs %s\n  want %d %s\n  got  %d %s\n' "$*" "$want_status" "$want" "$status" "$got"
    failures=$((failures + 1))
  fi
}

usage='mount.alignfs: usage: mount.alignfs SOURCE MOUNTPOINT [-sfnv] [-o OPTIONS]'

# The exit status is that of alignfs.
check 7 '[/srv][/mnt]' /srv /mnt
check 7 '[-o][rw,align=4096][/srv][/mnt]' /srv /mnt -o rw,align=4096
check 7 '[-o][rw,align=4096][/srv][/mnt]' -o rw -o align=4096 /srv /mnt
check 7 '[/a b][/c d]' '/a b' '/c d' -s -n

# What mount(8) and systemd keep to themselves.
check 7 '[/srv][/mnt]' /srv /mnt -o defaults
check 7 '[/srv][/mnt]' /srv /mnt -o noauto,auto,nofail,_netdev,users,user,user=me,nouser,owner,group
check 7 '[-o][rw,noexec][/srv][/mnt]' /srv /mnt -t alignfs \
  -o 'rw,x-systemd.requires=a.mount,X-mount.mkdir,comment=why,noexec,uhelper=x'
# A name that only begins like one of them is alignfs's to judge.
check 7 '[-o][userx,automatic][/srv][/mnt]' /srv /mnt -o userx,automatic

# A comma after a backslash does not end an option; after two of them it does.
check 7 '[-o][log_file=/a\,noauto,ro][/srv][/mnt]' /srv /mnt -o 'log_file=/a\,noauto,ro,noauto'
check 7 '[-o][log_file=/a\\,ro][/srv][/mnt]' /srv /mnt -o 'log_file=/a\\,noauto,ro'

# -f mounts nothing, -v says what would be run.
check 0 '' /srv /mnt -f
check 0 'mount.alignfs: alignfs -o ro /srv /mnt' /srv /mnt -fv -o ro

check 1 "$usage" /srv
check 1 "$usage" /srv /mnt /more
check 1 "$usage" /srv /mnt -o
check 1 "$usage" /srv /mnt -q
check 1 'mount.alignfs: -N is not supported: mount from inside that namespace' -N 1 /srv /mnt

[ "$failures" -eq 0 ]
