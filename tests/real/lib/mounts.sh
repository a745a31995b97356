# shellcheck shell=bash
# Disks and mounts for the scripts in the folder above, each of which sources this file first. It
# leaves the script where it cannot run, gives it a mount namespace of its own, so that nothing
# stays mounted whatever happens (unless ALIGNFS_REAL_INSIDE is set), and makes the folders of one
# test:
#
#   $work         scratch space, in memory
#   $work/disk    where make_disk mounts a 4K-native disk
#   $work/mount   where mount_alignfs mounts the backing directory $work/disk
set -euo pipefail

skip() {
  if [[ -n ${CI:-} ]]; then echo "failed: $1" >&2; exit 1; fi
  echo "skipped: $1" >&2
  exit 77
}

need_program() { command -v "$1" >/dev/null || skip "needs $1"; }

[[ $EUID -eq 0 ]] || skip "needs root: mounts and loop devices"
[[ -n ${ALIGNFS_BIN:-} ]] || skip "set ALIGNFS_BIN to the alignfs program to be tested"
if [[ -z ${ALIGNFS_REAL_INSIDE:-} ]]; then
  ALIGNFS_REAL_INSIDE=1 exec unshare --mount --propagation private bash "$0" "$@"
fi

work=$(mktemp -d /dev/shm/alignfs-test-XXXXXX)
daemon=
clean_up() {
  umount "$work/mount" 2>/dev/null || umount --lazy "$work/mount" 2>/dev/null || true
  if [[ -n $daemon ]]; then kill "$daemon" 2>/dev/null || true; wait "$daemon" || true; fi
  umount "$work/disk" 2>/dev/null || umount --lazy "$work/disk" 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT
mkdir "$work/disk" "$work/mount"

# Ends the script, and shows what the daemon had to say.
fail() {
  echo "FAILED: $*" >&2
  cat "$work/log" >&2
  exit 1
}

# keep_setting FILE NEEDS: names FILE, a setting of the whole machine, $setting, and puts it back at
# the end. NEEDS is what a machine without it lacks.
keep_setting() {
  setting=$1
  [[ -e $setting ]] || skip "needs $2"
  before=$(cat "$setting")
  trap 'echo "$before" >"$setting"; clean_up' EXIT
}

# Options of a mount for each mode that takes requests however they are aligned.
# shellcheck disable=SC2034,SC2054
lenient_modes=(unaligned=bounce unaligned=split mode=mapped mode=buffered mode=mapped,passthrough)

make_disk() {
  local image device
  image=$(mktemp /dev/shm/alignfs-test-XXXXXX)
  truncate --size 384M "$image"
  device=$(losetup --sector-size 4096 --find --show "$image")
  rm "$image"
  # In use the device stays until it is unmounted, and goes then by itself.
  if mkfs.ext4 -q -F "$device" && mount "$device" "$work/disk"; then
    losetup --detach "$device"
  else
    losetup --detach "$device"
    return 1
  fi
}

mount_alignfs() {  # OPTIONS
  start_alignfs "$1"
  await_mount "$1"
}

start_alignfs() {  # OPTIONS
  "$ALIGNFS_BIN" -f -o "$1" "$work/disk" "$work/mount" 2>"$work/log" &
  daemon=$!
}

await_mount() {  # OPTIONS
  for ((i = 0; i < 6000; i++)); do
    if mountpoint --quiet "$work/mount"; then return 0; fi
    kill -0 "$daemon" 2>/dev/null || break
    sleep 0.01
  done
  echo "alignfs did not mount with -o $1:" >&2
  cat "$work/log" >&2
  return 1
}

# On a new disk, in each mode: lets SCRIPT work on the mount, and then check on the backing what its
# notes say must be there.
work_in_every_mode() {  # SCRIPT
  local mode started
  make_disk
  for mode in "${lenient_modes[@]}"; do
    started=$SECONDS
    mkdir "$work/disk/$mode" "$work/truth"
    mount_alignfs "$mode"
    /usr/bin/python3 "$1" work "$work/mount/$mode" "$work/truth"
    unmount_alignfs
    /usr/bin/python3 "$1" check "$work/disk/$mode" "$work/truth"
    rm -r "$work/truth" "$work/disk/$mode"
    echo "ok  $mode $((SECONDS - started))s"
  done
}

unmount_alignfs() {
  umount "$work/mount"
  local status=0
  wait "$daemon" || status=$?
  daemon=
  if [[ $status -ne 0 ]]; then
    echo "alignfs ended with $status:" >&2
    cat "$work/log" >&2
    return 1
  fi
}
