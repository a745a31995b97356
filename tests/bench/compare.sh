#!/usr/bin/env bash
# Measures two builds of alignfs in one run, interleaved, so that a change of speed shows whatever else
# the machine does from hour to hour.
#
#   sudo tests/bench/compare.sh OLD NEW [--cells NAME,NAME] [--rounds N] [...]
#
# OLD and NEW are alignfs programs, as build/release/alignfs.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=mount-scripts/setup.sh
. "$top/mount-scripts/setup.sh"

[ $# -ge 2 ] || die "usage: compare.sh OLD NEW [OPTIONS OF bench.py]"
for binary in "$1" "$2"; do
  [ -f "$binary" ] && [ -x "$binary" ] || die "$binary is no program"
done
old=$1 new=$2
shift 2
ensure_packages bench
exec /usr/bin/python3 "$top/tests/bench/bench.py" --no-peers \
  --alignfs "old=$old" --alignfs "new=$new" "$@"
