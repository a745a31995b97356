#!/usr/bin/env bash
# The size of requests: what the kernel allows, what max_request asks for, and that it may be more
# than the kernel allows where the limit can be raised. Sets fs.fuse.max_pages_limit back.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../real/lib/mounts.sh"

keep_setting /proc/sys/fs/fuse/max_pages_limit "Linux 6.13"
head -c 1048576 /dev/urandom >"$work/data"
make_disk

# requests_are OP WANTED: so many of a kind have come since the mount.
requests_are() {
  local got
  got=$(awk -v op="op=\"$1\"" '/^alignfs_requests_total/ && index($0, op) { sum += $2 } END { print sum }' \
    "$work/mount/.alignfs/stats")
  [[ $got -eq $2 ]] || fail "$got requests of $1 instead of $2"
}

# writes_of_one_mebibyte WANTED: what 1 MiB by one write(2) is to the daemon.
writes_of_one_mebibyte() {
  dd if="$work/data" of="$work/mount/file" bs=1M oflag=direct conv=notrunc status=none
  requests_are write "$1"
  cmp "$work/data" "$work/disk/file" || fail "wrong bytes"
}

# The same of one read(2).
reads_of_one_mebibyte() {
  dd if="$work/mount/file" of="$work/read" bs=1M iflag=direct count=1 status=none
  requests_are read "$1"
  cmp "$work/data" "$work/read" || fail "wrong bytes"
}

limit_is() { [[ $(cat "$setting") -eq $1 ]] || fail "the limit became $(cat "$setting")"; }
effective() { grep -qx "max_request.effective=$1" "$work/mount/.alignfs/options" || fail "not $1"; }

echo 256 >"$setting"
mount_alignfs max_request=auto
limit_is 256
effective 1048576
writes_of_one_mebibyte 1
reads_of_one_mebibyte 1
unmount_alignfs

mount_alignfs max_request=131072
writes_of_one_mebibyte 8
unmount_alignfs

mount_alignfs max_request=1572864
limit_is 256
effective 1572864
writes_of_one_mebibyte 1
unmount_alignfs

# A mount takes its turn: nobody reads what another one has raised for a moment.
exec 9<"$setting"
flock 9
start_alignfs max_request=auto 9<&-
sleep 0.5
if mountpoint --quiet "$work/mount"; then fail "mounted while another one held the limit"; fi
flock --unlock 9
await_mount max_request=auto
unmount_alignfs

# A lower limit is somebody's decision, a higher one, too.
echo 64 >"$setting"
mount_alignfs max_request=auto
effective $((63 * 4096))
unmount_alignfs
limit_is 64
echo 300 >"$setting"
mount_alignfs max_request=auto
effective $((299 * 4096))
unmount_alignfs
limit_is 300
echo 256 >"$setting"

# As containers see it.
sysctls=$(dirname "$setting")
mount --bind "$sysctls" "$sysctls"
mount -o remount,bind,ro "$sysctls"
mount_alignfs max_request=auto
effective $((255 * 4096))
writes_of_one_mebibyte 2
reads_of_one_mebibyte 1
unmount_alignfs
status=0
"$ALIGNFS_BIN" -f -o max_request=1048576 "$work/disk" "$work/mount" 2>"$work/log" || status=$?
umount "$sysctls"
[[ $status -eq 1 ]] || fail "the limit cannot be raised, exit status $status"
grep -q "option 'max_request' does not take '1048576' here: fs.fuse.max_pages_limit is lower" \
  "$work/log" || fail "not explained"
echo "ok"
