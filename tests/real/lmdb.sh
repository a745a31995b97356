#!/bin/bash
# LMDB on a mount over a 4K-native disk, in every mode: written by pwrite and by stores into its
# map, beside a reader of another process, and copied. What it holds in the end is compared with a
# dictionary, on the mount and on the backing. Needs root, python3-lmdb and ALIGNFS_BIN.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=tests/real/lib/mounts.sh
. "$here/lib/mounts.sh"
/usr/bin/python3 -c "import lmdb" 2>/dev/null || skip "needs python3-lmdb"

make_disk
for mode in "${lenient_modes[@]}"; do
  started=$SECONDS
  mkdir "$work/disk/$mode" "$work/truth"
  mount_alignfs "$mode"
  /usr/bin/python3 "$here/lib/lmdb_work.py" work "$work/mount/$mode" "$work/truth"
  unmount_alignfs
  /usr/bin/python3 "$here/lib/lmdb_work.py" check "$work/disk/$mode" "$work/truth"
  rm -r "$work/truth" "$work/disk/$mode"
  echo "ok  $mode $((SECONDS - started))s"
done
