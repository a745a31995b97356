#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test.
#
#   tests/run.sh [--preset NAME] [CTEST ARGUMENTS]
#
#   tests/run.sh -L unit            the unit tests alone: no mount, no root
#   tests/run.sh -R mount.Direct    by name
#   tests/run.sh --preset asan      dev (the default), release, asan or tsan
#
# Exit status and last lines are those of ctest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=mount-scripts/setup.sh
. mount-scripts/setup.sh

preset=dev
if [ "${1:-}" = --preset ]; then
  [ $# -ge 2 ] || die "--preset needs a name: dev, release, asan or tsan"
  preset=$2
  shift 2
fi

ensure_packages test
build_preset "$preset"

if [ "$(id -u)" -ne 0 ]; then
  under_ci && die "under CI the tests run as root: none of them may be skipped"
  say "not root: tests that make loop devices or change users will be skipped (sudo tests/run.sh runs them)"
fi
if ! { [ -r /dev/fuse ] && [ -w /dev/fuse ]; }; then
  under_ci && die "under CI /dev/fuse must be there to read and write"
  say "/dev/fuse cannot be opened: every test that mounts will be skipped"
fi

# Users' mounts with fuse_uring=on need it to be on, and cannot switch it on as root's do.
setting=/sys/module/fuse/parameters/enable_uring
if [ -w "$setting" ]; then
  before=$(cat "$setting")
  trap 'echo "$before" >"$setting"' EXIT
  echo Y >"$setting"
fi

say "run the tests of preset $preset"
ctest --test-dir "build/$preset" --output-on-failure --no-tests=error --no-label-summary -j2 "$@"
