#!/bin/bash
# fio with checksums on a mount over a 4K-native disk: every engine, block sizes from 512 bytes to
# 1 MiB, aligned and not, under all three settings of -o unaligned. One line a job; the first error
# ends it. Needs root, fio and ALIGNFS_BIN.
set -euo pipefail

skip() {
  if [[ -n ${CI:-} ]]; then echo "failed: $1" >&2; exit 1; fi
  echo "skipped: $1" >&2
  exit 77
}
[[ $EUID -eq 0 ]] || skip "needs root: mounts and loop devices"
command -v fio >/dev/null || skip "needs fio"
[[ -n ${ALIGNFS_BIN:-} ]] || skip "set ALIGNFS_BIN to the alignfs program to be tested"

# A mount namespace of its own: whatever happens, nothing stays mounted.
if [[ -z ${ALIGNFS_FIO_INSIDE:-} ]]; then
  ALIGNFS_FIO_INSIDE=1 exec unshare --mount --propagation private bash "$0" "$@"
fi

work=$(mktemp -d /tmp/alignfs-test-XXXXXX)
daemon=
clean_up() {
  umount "$work/mount" 2>/dev/null || umount --lazy "$work/mount" 2>/dev/null || true
  if [[ -n $daemon ]]; then kill "$daemon" 2>/dev/null || true; wait "$daemon" || true; fi
  umount "$work/disk" 2>/dev/null || umount --lazy "$work/disk" 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT
mkdir "$work/disk" "$work/mount"

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
  "$ALIGNFS_BIN" -f -o "$1" "$work/disk" "$work/mount" 2>"$work/log" &
  daemon=$!
  for ((i = 0; i < 6000; i++)); do
    if mountpoint --quiet "$work/mount"; then return 0; fi
    kill -0 "$daemon" 2>/dev/null || break
    sleep 0.01
  done
  echo "alignfs did not mount with -o $1:" >&2
  cat "$work/log" >&2
  return 1
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

jobs_done=0
job() {  # NAME ENGINE OPTION...
  local name=$1 engine=$2 started=$SECONDS
  shift 2
  local depth=8
  [[ $engine == psync ]] && depth=1
  if ! fio --name="$name" --directory="$work/mount" --ioengine="$engine" --iodepth=$depth \
      --size=4M --verify=crc32c --verify_fatal=1 --verify_dump=0 --do_verify=1 --direct=1 \
      --randseed=4096 --fallocate=none --group_reporting "$@" >"$work/fio.out" 2>&1; then
    echo "FAILED  $name $engine $*"
    cat "$work/fio.out"
    echo "the daemon's log:"
    tail -n 20 "$work/log"
    exit 1
  fi
  rm -f "$work/mount/$name".*
  jobs_done=$((jobs_done + 1))
  printf 'ok  %-28s %-8s %2ds  %s\n' "$name" "$engine" $((SECONDS - started)) "$*"
}

aligned_jobs() {  # ENGINE
  job seq-4k "$1" --rw=write --bs=4k
  job rand-4k "$1" --rw=randwrite --bs=4k
  job seq-1m "$1" --rw=write --bs=1m
  job rand-64k "$1" --rw=randwrite --bs=64k
  job mixed-4k "$1" --rw=randrw --rwmixread=50 --bs=4k
  job ranges-4k-1m "$1" --rw=randwrite --bsrange=4k-1m --blockalign=4k --bs_unaligned=0
  job memory-512 "$1" --rw=randwrite --bs=256k --iomem_align=512
}

unaligned_jobs() {  # ENGINE
  job seq-512 "$1" --rw=write --bs=512
  job rand-512 "$1" --rw=randwrite --bs=512 --size=2M
  job seq-1000 "$1" --rw=write --bs=1000
  job rand-3k "$1" --rw=randwrite --bs=3k
  job ranges-512-1m "$1" --rw=randwrite --bsrange=512-1m --blockalign=512
  job ranges-odd "$1" --rw=write --bsrange=1k-100k --bs_unaligned=1
  job offset-100 "$1" --rw=randwrite --bs=8k --offset=100 --blockalign=4k
  job memory-16 "$1" --rw=randwrite --bs=128k --iomem_align=16
  job buffered "$1" --rw=randwrite --bs=5000 --blockalign=1000 --direct=0
}

# Shows that the strict mount is strict for fio, too: the job must fail with EINVAL.
refused_job() {  # ENGINE
  if fio --name=refused --directory="$work/mount" --ioengine="$1" --rw=write --bs=512 --size=64k \
      --direct=1 --fallocate=none >"$work/fio.out" 2>&1; then
    echo "FAILED  a strict mount let fio write 512 bytes at a time ($1)"
    exit 1
  fi
  if ! grep --quiet "Invalid argument" "$work/fio.out"; then
    echo "FAILED  fio failed, but not with EINVAL ($1):"
    cat "$work/fio.out"
    exit 1
  fi
  rm -f "$work/mount/refused".*
  jobs_done=$((jobs_done + 1))
  printf 'ok  %-28s %-8s\n' "refused as it should be" "$1"
}

make_disk
for unaligned in bounce split reject; do
  options=unaligned=$unaligned
  # fio lays out its files with plain writes from memory that is not aligned: not what is tested.
  if [[ $unaligned == reject ]]; then options+=,enforce=odirect; fi
  mount_alignfs "$options"
  for engine in psync libaio io_uring; do
    echo "--- unaligned=$unaligned engine=$engine"
    aligned_jobs "$engine"
    if [[ $unaligned == reject ]]; then refused_job "$engine"; else unaligned_jobs "$engine"; fi
  done
  unmount_alignfs
done
echo "$jobs_done jobs in ${SECONDS}s, no error"
