#!/bin/bash
# LMDB on a mount over a 4K-native disk, in every mode: written by pwrite and by stores into its
# map, beside a reader of another process, and copied. What it holds in the end is compared with a
# dictionary, on the mount and on the backing. Needs root, python3-lmdb and ALIGNFS_BIN.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=tests/real/lib/mounts.sh
. "$here/lib/mounts.sh"
/usr/bin/python3 -c "import lmdb" 2>/dev/null || skip "needs python3-lmdb"

work_in_every_mode "$here/lib/lmdb_work.py"
