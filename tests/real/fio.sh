#!/bin/bash
# fio with checksums on a mount over a 4K-native disk: every engine, block sizes from 512 bytes to
# 1 MiB, aligned and not, in every mode. One line a job; the first error ends it. Needs root, fio
# and ALIGNFS_BIN.
set -euo pipefail
# shellcheck source=tests/real/lib/mounts.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/mounts.sh"
need_program fio

jobs_done=0
# Blocks that overlap must not be in flight at once: which of two concurrent writes stays is
# nobody's promise, and fio expects the one that it submitted last.
job() {  # NAME ENGINE OPTION...
  local name=$1 engine=$2 started=$SECONDS
  shift 2
  local depth=8
  [[ $engine == psync ]] && depth=1
  if ! fio --name="$name" --directory="$work/mount" --ioengine="$engine" --iodepth=$depth \
      --size=4M --verify=crc32c --verify_fatal=1 --verify_dump=0 --verify_state_save=0 \
      --do_verify=1 --direct=1 --serialize_overlap=1 \
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

# fio's own maps of the files on the mount.
mmap_jobs() {
  job map-seq-4k mmap --rw=write --bs=4k --direct=0
  job map-rand-64k mmap --rw=randwrite --bs=64k --direct=0
  job map-mixed-3k mmap --rw=randrw --bs=3k --direct=0
  job map-ranges-odd mmap --rw=write --bsrange=1k-100k --bs_unaligned=1 --direct=0
}

# Shows that the mount is strict for fio, too: the job must fail with EINVAL.
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
# fio lays out its files with plain writes from memory that is not aligned: not what is tested.
for options in unaligned=bounce unaligned=split unaligned=reject,enforce=odirect mode=mapped \
    mode=buffered; do
  mount_alignfs "$options"
  engines=(psync libaio io_uring)
  # The control group: to the daemon all engines look alike, so that one of each kind is enough.
  if [[ $options == mode=buffered ]]; then engines=(psync io_uring); fi
  for engine in "${engines[@]}"; do
    echo "--- $options, engine $engine"
    aligned_jobs "$engine"
    case $options in
      *reject*) refused_job "$engine" ;;
      *) unaligned_jobs "$engine" ;;
    esac
  done
  mmap_jobs
  unmount_alignfs
done

# With passthrough O_DIRECT is that of the disk.
options=mode=mapped,passthrough
mount_alignfs "$options"
echo "--- $options"
aligned_jobs libaio
refused_job psync
job buffered-odd psync --rw=randwrite --bs=5000 --blockalign=1000 --direct=0
mmap_jobs
unmount_alignfs
echo "$jobs_done jobs in ${SECONDS}s, no error"
