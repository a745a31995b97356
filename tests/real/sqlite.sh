#!/bin/bash
# SQLite on a mount over a 4K-native disk, in every mode: write-ahead and rollback journals, with
# and without PRAGMA mmap_size, beside a reader of another process. What it holds in the end is
# compared with databases in memory, on the mount and on the backing. Needs root, Python and
# ALIGNFS_BIN.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=tests/real/lib/mounts.sh
. "$here/lib/mounts.sh"
/usr/bin/python3 -c "import sqlite3" 2>/dev/null || skip "needs Python's sqlite3 (python3)"

work_in_every_mode "$here/lib/sqlite_work.py"
