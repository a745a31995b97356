#!/usr/bin/env bash
# Measures alignfs against the raw disk and against other passthrough filesystems, and writes
# build/bench/results.json, .md and .svg.
#
#   sudo tests/bench/run.sh [--cells NAME,NAME] [--rounds N] [--disk DIRECTORY] [...]
#
#   --passthrough-hp BINARY     libfuse's example as one more peer
#   --help                      every option
#
# Takes about half an hour with five rounds of everything. Nothing else should run meanwhile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=mount-scripts/setup.sh
. mount-scripts/setup.sh

ensure_packages bench
build_preset release alignfs
exec /usr/bin/python3 tests/bench/bench.py --alignfs build/release/alignfs "$@"
