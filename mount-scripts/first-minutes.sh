#!/usr/bin/env bash
# A new user's first minutes with alignctl, on a disk with 512-byte sectors and on one with 4096:
# what README shows of them is what this prints.
#
#   mount-scripts/first-minutes.sh BUILD             prints it, with the programs in that directory
#   mount-scripts/first-minutes.sh BUILD --update    puts it into README.md
#   mount-scripts/first-minutes.sh BUILD --check     fails if README.md says anything else
#
# As root. The disks are loop devices in memory; mounts are seen by this script alone.
set -euo pipefail
shopt -s inherit_errexit
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ "${FIRST_MINUTES_APART:-}" = '' ]; then
  if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "usage: ${0##*/} BUILD [--update|--check]" >&2
    exit 2
  fi
  if [ "$(id -u)" -ne 0 ]; then
    echo "${0##*/}: needs root, for loop devices" >&2
    exit 2
  fi
  build=$(cd "$1" && pwd)
  shift
  exec env FIRST_MINUTES_APART=1 PATH="$build:$PATH" unshare --mount --propagation private "$0" "$build" "$@"
fi
shift

devices=()
clean_up() {
  local status=$?
  cd /
  for mount in /mnt/alignfs /mnt/disk512 /mnt/disk4096; do umount "$mount" 2>/dev/null || true; done
  for device in "${devices[@]}"; do losetup --detach "$device" || true; done
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# Nobody else's /mnt: names in the transcript are to be short, and the same everywhere.
mount -t tmpfs none /mnt
mkdir /mnt/alignfs
for sector in 512 4096; do
  mkdir "/mnt/disk$sector"
  truncate -s 64M "/mnt/image$sector"
  device=$(losetup --sector-size "$sector" --find --show "/mnt/image$sector")
  devices+=("$device")
  mkfs.ext4 -q "$device"
  mount "$device" "/mnt/disk$sector"
  # With blocks of its own: a write into a hole goes through the page cache, whatever it asks for.
  head -c 8192 /dev/zero > "/mnt/disk$sector/wal"
done
sync --file-system /mnt/disk512/wal /mnt/disk4096/wal
cd /mnt

# What differs from run to run: addresses but for their end, numbers of descriptors, processes and
# devices, times.
# The same length each time, or the columns would move.
steady() {
  sed -E -e 's/0x[0-9a-f]*([0-9a-f]{3})/0x7f0000000\1/g' -e 's/fd ([3-9]|[0-9]{2,}),/fd 3,/g' \
      -e 's/alignctl\[[0-9]+\]/alignctl[4711]/g' -e 's/dd\[[0-9]+\]/dd[4711]/g' \
      -e 's/^[0-9T:.-]{26}Z/2026-11-22T08:15:00.000000Z/' \
      -e 's/loop[0-9]+/loop0/g' -e 's/, [0-9.]+ (µs|ms|s)$/, 9 µs/' -e 's/ {2}[0-9.]+ (µs|ms|s)$/  9 µs/'
}

run() {
  echo "\$ $*"
  eval "$*" 2>&1 | steady
}

lab() {
  local file=$1
  shift
  echo "\$ alignctl lab $file"
  printf '%s\n' "$@" | alignctl lab "$file" 2>&1 | steady | sed -E 's/^> /lab> /'
}

transcript() {
  run alignctl geometry disk512/wal
  lab disk512/wal 'write 1024' 'write 4k mem+16'
  echo
  lab disk4096/wal 'write 1024'
  echo
  run alignfs disk4096 alignfs
  lab alignfs/wal 'write 1024' 'compare write 1024'
  run umount alignfs
  echo
  run alignfs -o unaligned=reject,align=4096 disk512 alignfs
  lab alignfs/wal 'sweep write length 1k..4k step 1k'
  run dd if=/dev/zero of=alignfs/wal bs=1000 count=1 oflag=direct conv=notrunc status=none || true
  run alignctl why alignfs/wal
  run umount alignfs
}

readme=$root/README.md
begin='<!-- from mount-scripts/first-minutes.sh -->'
end='<!-- to here -->'
shown=$(transcript | sed -e 's/^/    /' -e 's/ *$//')

in_readme() { awk -v begin="$begin" -v end="$end" '$0 == end { inside = 0 } inside; $0 == begin { inside = 1 }' "$readme"; }

case ${1:-} in
  '') echo "$shown" ;;
  --check) diff -u <(in_readme) <(printf '\n%s\n\n' "$shown") ;;
  --update)
    fresh=$(mktemp)
    SHOWN=$shown awk -v begin="$begin" -v end="$end" '
      $0 == end { inside = 0 }
      !inside { print }
      $0 == begin { inside = 1; printf "\n%s\n\n", ENVIRON["SHOWN"] }' "$readme" > "$fresh"
    cat "$fresh" > "$readme"
    rm "$fresh"
    ;;
  *) echo "${0##*/}: '$1' is neither --update nor --check" >&2; exit 2 ;;
esac
