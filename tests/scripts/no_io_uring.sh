#!/usr/bin/env bash
# A daemon that may not use io_uring serves by threads, and says so; asked for io_uring and nothing
# else it does not mount. Needs root for kernel.io_uring_disabled, which it sets back.
set -euo pipefail
: "${ALIGNFS_BIN:?the alignfs to test}" "${ALIGNFS_WITHOUT_IO_URING:?the program that forbids it}"

if ! [ "$(id -u)" -eq 0 ] || ! [ -w /dev/fuse ]; then
  echo "needs root and /dev/fuse"
  [ -n "${CI:-}" ] && exit 1
  exit 77
fi

scratch=$(mktemp -d)
setting=/proc/sys/kernel/io_uring_disabled
before=$(cat "$setting")
daemon=
clean_up() {
  echo "$before" >"$setting"
  umount "$scratch/mount" 2>/dev/null || true
  [ -z "$daemon" ] || wait "$daemon" 2>/dev/null || true
  rm -rf -- "$scratch"
}
trap clean_up EXIT
mkdir "$scratch/source" "$scratch/mount"
head -c 100000 /dev/urandom >"$scratch/source/file"

fail() {
  echo "FAILED: $*"
  cat "$scratch/log"
  exit 1
}

# serves ENGINE OPTIONS [WRAPPER]: the mount comes up, serves by ENGINE, and what it serves is right.
serves() {
  local engine=$1 options=$2
  shift 2
  "$@" "$ALIGNFS_BIN" -f -o "$options" "$scratch/source" "$scratch/mount" >"$scratch/log" 2>&1 &
  daemon=$!
  for _ in $(seq 600); do
    mountpoint -q "$scratch/mount" && break
    kill -0 "$daemon" 2>/dev/null || fail "$options $*: no mount"
    sleep 0.1
  done
  grep -qx "engine.effective=$engine" "$scratch/mount/.alignfs/options" ||
    fail "$options $*: not served by $engine"
  cmp "$scratch/source/file" "$scratch/mount/file" || fail "$options $*: wrong bytes"
  dd if="$scratch/source/file" of="$scratch/mount/copy" bs=1000 status=none
  umount "$scratch/mount"
  wait "$daemon" || fail "$options $*: the daemon ended with $?"
  daemon=
  cmp "$scratch/source/file" "$scratch/source/copy" || fail "$options $*: wrong bytes written"
  echo "ok  $options ${*##*/}: served by $engine"
}

# refuses OPTIONS [WRAPPER]: one line, exit status 1, nothing mounted.
refuses() {
  local options=$1 status=0
  shift
  "$@" "$ALIGNFS_BIN" -f -o "$options" "$scratch/source" "$scratch/mount" >"$scratch/log" 2>&1 ||
    status=$?
  [ "$status" -eq 1 ] || fail "$options $*: exit status $status"
  mountpoint -q "$scratch/mount" && fail "$options $*: mounted"
  grep -q "option 'engine' does not take 'uring' here: no io_uring" "$scratch/log" ||
    fail "$options $*: not explained"
  echo "ok  $options ${*##*/}: refused"
}

serves uring engine=uring
serves uring engine=auto
serves uring mode=mapped
serves uring mode=buffered
serves threads engine=threads
serves threads engine=auto "$ALIGNFS_WITHOUT_IO_URING"
grep -q "no io_uring (Operation not permitted)" "$scratch/log" || fail "not logged"
refuses engine=uring "$ALIGNFS_WITHOUT_IO_URING"
echo 2 >"$setting"
serves threads engine=auto
serves threads engine=threads
refuses engine=uring
