#!/usr/bin/env bash
# The size of requests: what the kernel allows, what max_request asks for, and that it may be more
# than the kernel allows where the limit can be raised. Sets fs.fuse.max_pages_limit back.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../real/lib/mounts.sh"

keep_setting /proc/sys/fs/fuse/max_pages_limit "Linux 6.13"
head -c 1048576 /dev/urandom >"$work/data"
make_disk

fail() { echo "FAILED: $*" >&2; cat "$work/log" >&2; exit 1; }

# writes_of_one_mebibyte WANTED: what 1 MiB by one write(2) is to the daemon.
writes_of_one_mebibyte() {
  dd if="$work/data" of="$work/mount/file" bs=1M oflag=direct conv=notrunc status=none
  local got
  got=$(awk '/^alignfs_requests_total.*op="write"/ { sum += $2 } END { print sum }' \
    "$work/mount/.alignfs/stats")
  [[ $got -eq $1 ]] || fail "$got requests instead of $1"
  cmp "$work/data" "$work/disk/file" || fail "wrong bytes"
}

echo 256 >"$setting"
mount_alignfs max_request=auto
grep -qx "max_request.effective=$((255 * 4096))" "$work/mount/.alignfs/options" || fail "auto"
writes_of_one_mebibyte 2
unmount_alignfs
[[ $(cat "$setting") -eq 256 ]] || fail "the limit was raised unasked"

mount_alignfs max_request=131072
writes_of_one_mebibyte 8
unmount_alignfs
[[ $(cat "$setting") -eq 256 ]] || fail "the limit was raised without need"

# As containers see it.
sysctls=$(dirname "$setting")
mount --bind "$sysctls" "$sysctls"
mount -o remount,bind,ro "$sysctls"
status=0
"$ALIGNFS_BIN" -f -o max_request=1048576 "$work/disk" "$work/mount" 2>"$work/log" || status=$?
umount "$sysctls"
[[ $status -eq 1 ]] || fail "the limit cannot be raised, exit status $status"
grep -q "option 'max_request' does not take '1048576' here: fs.fuse.max_pages_limit is lower" \
  "$work/log" || fail "not explained"

mount_alignfs max_request=1048576
grep -q "max_pages_limit raised from 256 to 257" "$work/log" || fail "not said"
writes_of_one_mebibyte 1
unmount_alignfs
[[ $(cat "$setting") -eq 257 ]] || fail "the limit is $(cat "$setting")"
echo "ok"
