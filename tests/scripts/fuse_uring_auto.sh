#!/usr/bin/env bash
# Requests by io_uring where nobody asks for them: which mounts have them, which have not and say
# why, and that the parameter enable_uring of the fuse module is found as it was. Mounts where the
# script was started, because that is one of the conditions.
# shellcheck source-path=SCRIPTDIR
: "${ALIGNFS_WITHOUT_IO_URING:?the program that forbids it}"
# Nothing stays mounted if it takes too long.
if [[ -z ${ALIGNFS_REAL_INSIDE:-} ]]; then
  ALIGNFS_REAL_INSIDE=1 exec timeout --foreground 100 bash "$0" "$@"
fi
. "$(dirname "$0")/../real/lib/mounts.sh"

keep_setting /sys/module/fuse/parameters/enable_uring "Linux 6.14"
# set_state Y|N: what the administrator has made of it.
set_state() {
  state=$1
  echo "$state" >"$setting"
}
set_state N
source=$work/disk
mkdir "$work/stacked" "$work/upper" "$work/inner"
trap 'echo "$before" >"$setting"
      umount --lazy "$work/mount" "$work/stacked" 2>/dev/null || true
      clean_up' EXIT
head -c 1000001 /dev/urandom >"$work/data"
make_disk

# starts OPTIONS: false if it ends before the mount answers. $root is where the daemon's mounts are
# seen, which may have a namespace of its own by $prefix.
prefix=()
starts() {
  "${prefix[@]}" "$ALIGNFS_BIN" -f -o "$1" "$source" "$work/mount" 2>"$work/log" &
  daemon=$!
  root=/proc/$daemon/root
  until [[ -e $root$work/mount/.alignfs/options ]]; do
    kill -0 "$daemon" 2>/dev/null || return 1
    sleep 0.01
  done
}

ends() {  # OPTIONS
  kill "$daemon"
  wait "$daemon" || fail "$1: the daemon ended with $?"
  daemon=
  mountpoint --quiet "$work/mount" && fail "$1: still mounted"
  [[ $(cat "$setting") == "$state" ]] || fail "$1: the setting is not what it was"
}

# serves OPTIONS on|off [REASON]: whether requests come by io_uring, and that what is served is
# right. REASON is what the log must say. $backing is where the files are.
backing=$work/disk
serves() {
  starts "$1" || fail "$1: no mount"
  cp "$root$work/mount/.alignfs/options" "$work/options"
  grep -qx "fuse_uring.effective=$2" "$work/options" || fail "$1: not $2"
  [[ $(cat "$setting") == "$state" ]] || fail "$1: the setting is not what it was"
  [[ -z ${3:-} ]] || grep -q "$3" "$work/log" || fail "$1: not said: $3"
  rm -f "$backing/file"
  dd if="$work/data" of="$root$work/mount/file" bs=1000 status=none
  cmp "$work/data" "$root$work/mount/file" || fail "$1: wrong bytes"
  ends "$1"
  cmp "$work/data" "$backing/file" || fail "$1: wrong bytes on the backing"
  echo "ok  $1 ${prefix[*]##*/}: $2"
}

is_kernel_thread() {  # PID
  local fields
  fields=$(sed 's/.*) //' "/proc/$1/stat") && (($(cut -d' ' -f7 <<<"$fields") & 0x00200000))
}

release=$(uname -r)
[[ $release =~ ^([0-9]+)\.([0-9]+)(\.([0-9]+))? ]] || fail "Linux $release?"
version=$(((BASH_REMATCH[1] * 1000 + BASH_REMATCH[2]) * 1000 + ${BASH_REMATCH[4]:-0}))
online=$(getconf _NPROCESSORS_ONLN) possible=$(cat /sys/devices/system/cpu/possible)
last=$((online - 1))
workers=$((4 * online < 8 ? 8 : 4 * online > 256 ? 256 : 4 * online))
chosen=off
if ((version >= 6018003)) && is_kernel_thread 2 &&
  [[ /proc/self/ns/mnt -ef /proc/2/ns/mnt ]] &&
  [[ $possible == "$last" || $possible == "0-$last" ]] &&
  (((4 * workers - 1) / online >= 7)); then
  chosen=on
fi
echo "unasked it is $chosen here: Linux $release, $(readlink /proc/self/ns/mnt), processors $possible"

enough=threads=$workers,max_request=1048576
serves "mode=mapped,$enough" "$chosen"
grep -qx "fuse_uring=auto" "$work/options" || fail "what was asked for is not shown"
serves "mode=buffered,engine=uring,$enough" "$chosen"
serves "mode=mapped,fuse_uring=auto,passthrough,$enough" "$chosen"
if [[ $chosen == on ]]; then
  ! grep -q '^poll=' "$work/options" || fail "a value of poll is shown that nobody heeds"
fi
set_state Y
serves "mode=mapped,$enough" "$chosen"
set_state N

serves mode=direct off
serves mode=mapped,fuse_uring=off off
serves mode=mapped,engine=threads off
serves mode=mapped,poll=10 off
grep -qx "poll=10" "$work/options" || fail "poll is not in force"

prefix=(unshare --mount --propagation private)
serves "mode=mapped,$enough" off "not by io_uring: it is chosen"

[[ $chosen == on ]] || exit 0

prefix=()
serves mode=mapped,threads=1 off "not by io_uring: threads=1 leaves .*buffers for"

source=$work/stacked backing=$work/upper
mount -t overlay -o "lowerdir=$work/disk,upperdir=$work/upper,workdir=$work/inner" none "$source"
serves "mode=mapped,$enough" off "not by io_uring: SOURCE is not on a filesystem known"
umount "$source"
source=$work/disk backing=$work/disk

# The parameter cannot be had for a moment, which others than root may bring about.
exec 9<"$setting"
flock 9
serves "mode=mapped,$enough" off "not by io_uring: the parameter enable_uring .* cannot be locked"
exec 9<&-

# It turns out on the way that it cannot be had: rings for it are larger than others. So the smallest
# size that others need is allowed.
allow_rings_of() {  # ENTRIES
  prefix=("$ALIGNFS_WITHOUT_IO_URING" -a "$1")
}
others_need_more_than() {  # ENTRIES
  allow_rings_of "$1"
  if starts "engine=uring,fuse_uring=off,$enough"; then
    ends "rings of up to $1"
    return 1
  fi
  wait "$daemon" || true
}
enough_entries=1
while others_need_more_than "$enough_entries"; do
  (((enough_entries *= 2) < 65536)) || fail "no size of rings is enough"
done
few=$((enough_entries / 2))
while ((enough_entries - few > 1)); do
  middle=$(((few + enough_entries) / 2))
  if others_need_more_than "$middle"; then few=$middle; else enough_entries=$middle; fi
done
allow_rings_of "$enough_entries"
serves "mode=mapped,$enough" off "mounting anew for reads of /dev/fuse"
grep -qx "fuse_uring=auto" "$work/options" || fail "what was asked for is not shown"
status=0
"${prefix[@]}" "$ALIGNFS_BIN" -f -o "fuse_uring=on,$enough" "$work/disk" "$work/mount" \
  2>"$work/log" || status=$?
[[ $status -eq 1 ]] || fail "exit status $status where fuse_uring=on cannot be had"
grep -q "option 'fuse_uring' does not take 'on' here" "$work/log" || fail "not explained"
! mountpoint --quiet "$work/mount" || fail "left mounted"
[[ $(cat "$setting") == N ]] || fail "the setting is not what it was"
echo "ok  fuse_uring=on where rings are too small: refused"
