#!/usr/bin/env bash
# Shows what alignfs is for, on a scratch directory, and leaves you at the mount:
#
#   mount-scripts/try.sh [--no-wait]
#
# Installs what is missing, builds, mounts with strict rules, lets a plain program make an unaligned
# O_DIRECT write, shows the refusal and its explanation, then the same data written from an aligned
# buffer. With --no-wait everything is taken down at once. Exit status 0 means that each step was
# seen to do what it says.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=mount-scripts/setup.sh
. mount-scripts/setup.sh

wait_for_user=true
case ${1:-} in
  --no-wait) wait_for_user=false ;;
  '') ;;
  *) die "usage: ${0##*/} [--no-wait]" ;;
esac
[ $# -le 1 ] || die "usage: ${0##*/} [--no-wait]"

scratch='' mnt='' daemon=''

# Asks the kernel's table, which answers for a mount whose daemon is gone too.
is_mounted() { grep -qF " ${1// /\\040} fuse" /proc/self/mounts; }

unmount() {
  if [ "$(id -u)" -eq 0 ]; then umount "$mnt"; else fusermount3 -u "$mnt"; fi
}

# A shell of yours that still stands in the mount keeps it busy for a moment; a directory that is
# still mounted is never removed.
take_down() {
  local tries=0
  while is_mounted "$mnt"; do
    unmount 2>"$scratch/umount.log" && break
    tries=$((tries + 1))
    if [ "$tries" -eq 20 ]; then
      cat "$scratch/umount.log" >&2
      echo "$mnt is busy and stays mounted. Leave it, then: fusermount3 -u $mnt; rm -r $scratch" >&2
      return 1
    fi
    sleep 0.5
  done
  if [ -n "$daemon" ]; then
    local status=0
    timeout 20 tail --pid="$daemon" -f /dev/null || kill -KILL "$daemon" 2>/dev/null || true
    wait "$daemon" || status=$?
    if [ "$status" -ne 0 ]; then
      echo "the daemon ended with status $status:" >&2
      cat "$scratch/alignfs.log" >&2
      return 1
    fi
  fi
}

clean_up() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP
  [ -n "$scratch" ] || exit "$status"
  say "unmount and remove $scratch"
  take_down || status=$(( status ? status : 1 ))
  is_mounted "$mnt" || rm -rf --one-file-system -- "$scratch"
  exit "$status"
}

check_fuse() {
  if [ ! -e /dev/fuse ] && [ "$(id -u)" -eq 0 ]; then modprobe fuse 2>/dev/null || true; fi
  [ -e /dev/fuse ] ||
    die "/dev/fuse is missing: load the fuse module, or in a container pass --device /dev/fuse --cap-add SYS_ADMIN"
  { [ -r /dev/fuse ] && [ -w /dev/fuse ]; } ||
    die "/dev/fuse may not be read and written by $(id -un): run this as root, or chmod 666 /dev/fuse"
}

# The daemon stays in the foreground, as a child of this script, so that it is ours to end.
mount_strict() {
  local tries=0
  mkdir "$scratch/backing" "$mnt"
  say "alignfs -o unaligned=reject,align=4096 $scratch/backing $mnt"
  build/release/alignfs -f -o unaligned=reject,align=4096 "$scratch/backing" "$mnt" \
    2>"$scratch/alignfs.log" </dev/null &
  daemon=$!
  until is_mounted "$mnt"; do
    tries=$((tries + 1))
    if ! kill -0 "$daemon" 2>/dev/null || [ "$tries" -gt 300 ]; then
      die "the mount did not come up"
    fi
    sleep 0.1
  done
}

write_programs() {
  cat >"$scratch/unaligned.py" <<'PYTHON'
import os, sys

fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_DIRECT)
os.write(fd, b' ' * 1024)
PYTHON
  cat >"$scratch/explain.py" <<'PYTHON'
import os, sys

print(os.getxattr(sys.argv[1], 'user.alignfs.last_error').decode())
PYTHON
  cat >"$scratch/events.py" <<'PYTHON'
import os, sys

fd = os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK)
try:
    while data := os.read(fd, 65536):
        sys.stdout.write(data.decode())
except BlockingIOError:
    pass  # the ring is read to its end
PYTHON
  cat >"$scratch/aligned.py" <<'PYTHON'
import mmap, os, sys

buffer = mmap.mmap(-1, 4096)  # anonymous memory starts on a page boundary
buffer.write(b' ' * 1024)
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_DIRECT)
print(os.write(fd, buffer), 'bytes written')
PYTHON
}

run_shown() {
  printf '\n    $ python3 %s %s\n' "${1##*/}" "$2"
  timeout 60 python3 "$1" "$2" 2>&1 | tee "$scratch/output" | sed 's/^/    /'
}

expect() {
  grep -qF -- "$1" "$scratch/output" || die "expected to see \"$1\" above"
}

show_refusal() {
  echo
  say "a plain program writes 1024 bytes with O_DIRECT:"
  sed 's/^/    | /' "$scratch/unaligned.py"
  if run_shown "$scratch/unaligned.py" "$mnt/wal"; then die "the write should have failed"; fi
  expect 'OSError: [Errno 22] Invalid argument'
  say "that is all it is told. The file knows more (xattr user.alignfs.last_error):"
  run_shown "$scratch/explain.py" "$mnt/wal"
  expect 'EINVAL: write('
  expect 'length  1024 is 3072 short of a multiple of 4096'
  expect 'nearest request that works: 4096 bytes at offset 0'
  say "and for programs, as a line of JSON in .alignfs/events:"
  run_shown "$scratch/events.py" "$mnt/.alignfs/events"
  expect '"action":"rejected"'
  expect '"path":"/wal"'
  expect '"nearest":{"offset":0,"length":4096}'
}

show_way_out() {
  say "the same data from an aligned buffer of 4096 bytes:"
  sed 's/^/    | /' "$scratch/aligned.py"
  run_shown "$scratch/aligned.py" "$mnt/wal"
  expect '4096 bytes written'
  [ "$(stat -c %s "$scratch/backing/wal")" -eq 4096 ] || die "the backing file should hold 4096 bytes"
}

leave_user_there() {
  cat <<TEXT

The mount is yours:  $mnt   (from another terminal)
    dd if=/dev/zero of=$mnt/file bs=1000 count=1 oflag=direct
    getfattr --only-values -n user.alignfs.last_error $mnt/file
    cat $mnt/.alignfs/options $mnt/.alignfs/stats
    cat $mnt/.alignfs/events            (waits for more; Ctrl-C ends it)

Press Enter or Ctrl-C to unmount and remove it.
TEXT
  trap 'exit 0' INT
  read -r || true
}

ensure_packages build
check_fuse
build_preset release alignfs

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
scratch=$(mktemp -d -t alignfs.XXXXXX)
scratch=$(realpath "$scratch")
mnt=$scratch/mnt

mount_strict
write_programs
show_refusal
show_way_out
if $wait_for_user; then leave_user_there; fi
say "done: the refusal, its explanation and the way out were all seen"
