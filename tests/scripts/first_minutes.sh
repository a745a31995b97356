#!/usr/bin/env bash
# README's transcript of the first minutes is what the programs of this build say.
set -euo pipefail

if [[ $EUID -ne 0 ]]; then
  echo "needs root: mounts and loop devices" >&2
  [[ -n ${CI:-} ]] && exit 1
  exit 77
fi
exec "$(dirname "$0")/../../mount-scripts/first-minutes.sh" "$(dirname "$ALIGNFS_BIN")" --check
