#!/usr/bin/env bash
# Requests by io_uring where they are asked for, what makes the kernel offer them, and that it does
# for that mount alone. Puts the parameter enable_uring of the fuse module back.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../real/lib/mounts.sh"

keep_setting /sys/module/fuse/parameters/enable_uring "Linux 6.14"
head -c 1000001 /dev/urandom >"$work/data"
make_disk

# serves OPTIONS on|off: whether requests come by io_uring, and that what is served is right.
serves() {
  mount_alignfs "$1"
  grep -qx "fuse_uring.effective=$2" "$work/mount/.alignfs/options" || fail "$1: not $2"
  [[ $(cat "$setting") == "$state" ]] || fail "$1: the kernel's setting is not what it was"
  dd if="$work/data" of="$work/mount/file" bs=1000 status=none
  cmp "$work/data" "$work/mount/file" || fail "$1: wrong bytes"
  unmount_alignfs
  cmp "$work/data" "$work/disk/file" || fail "$1: wrong bytes on the backing"
  echo "ok  $1: $2"
}

# refuses OPTIONS TEXT: one line with TEXT, exit status 1, nothing mounted.
refuses() {
  local status=0
  "$ALIGNFS_BIN" -f -o "$1" "$work/disk" "$work/mount" 2>"$work/log" || status=$?
  [[ $status -eq 1 ]] || fail "$1: exit status $status"
  mountpoint --quiet "$work/mount" && fail "$1: mounted"
  grep -q "$2" "$work/log" || fail "$1: not explained"
  echo "ok  $1: refused"
}

# This script's mount namespace ends with it.
state=N
echo N >"$setting"
serves engine=uring off
serves mode=mapped off
grep -q "not by io_uring: it is .*chosen" "$work/log" || fail "not said why"

# As containers see it.
parameters=$(dirname "$setting")
mount --bind "$parameters" "$parameters"
mount -o remount,bind,ro "$parameters"
refuses fuse_uring=on "option 'fuse_uring' does not take 'on' here: the parameter enable_uring"
umount "$parameters"

# Eight workers have buffers for any machine; one has them for few processors.
serves fuse_uring=on,threads=8 on
serves mode=mapped,fuse_uring=on on
# What somebody else has switched on stays on.
state=Y
echo Y >"$setting"
serves mode=buffered,fuse_uring=on on
refuses engine=threads,fuse_uring=on "option 'fuse_uring' is used by engine=auto or engine=uring"
serves fuse_uring=off off

# More readers of events than a queue has places, and still everybody else is served.
mount_alignfs fuse_uring=on
readers=()
for _ in $(seq 40); do
  timeout 60 cat "$work/mount/.alignfs/events" >/dev/null 2>>"$work/refused" &
  readers+=($!)
done
for ((i = 0; i < 600; i++)); do
  grep -q "busy" "$work/refused" && break
  sleep 0.1
done
grep -q "Device or resource busy" "$work/refused" || fail "nobody was told that it is busy"
timeout 60 cmp "$work/data" "$work/mount/file" || fail "not served beside readers of events"
kill "${readers[@]}" 2>/dev/null || true
wait "${readers[@]}" || true
unmount_alignfs
echo "ok  readers of events leave places for others"

# As few places as there may be: with one in each queue nobody waits there for events.
threads=1
until mount_alignfs "fuse_uring=on,threads=$threads" 2>>"$work/few"; do
  ((++threads <= 256)) || fail "no number of threads is enough"
done
taskset -c 0 timeout 60 cat "$work/mount/.alignfs/events" >/dev/null 2>>"$work/few" &
reader=$!
sleep 0.5
taskset -c 0 timeout 20 ls "$work/mount" >/dev/null || fail "not served beside a reader of events"
kill "$reader" 2>/dev/null || true
wait "$reader" || true
unmount_alignfs
echo "ok  the last place of a queue is for others"
