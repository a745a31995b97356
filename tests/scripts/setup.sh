#!/usr/bin/env bash
# mount-scripts/setup.sh: what it installs, when it asks for root, what it says is skipped. dpkg-query,
# apt-get, sudo and id are replaced by programs that record how they were called.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT
mkdir "$scratch/bin"

# Prints the packages of its command line that stand in the file "installed", as dpkg-query does.
cat >"$scratch/bin/dpkg-query" <<SH
#!/bin/bash
status=0
for package in "\${@:3}"; do
  if grep -qxF -- "\$package" "$scratch/installed"; then
    printf 'ii  %s\n' "\$package"
  else
    # Removed, its configuration kept: not installed.
    printf 'rc  %s\n' "\$package"
    status=1
  fi
done
exit \$status
SH
cat >"$scratch/bin/apt-get" <<SH
#!/bin/sh
echo "apt-get \$*" >>"$scratch/calls"
SH
cat >"$scratch/bin/sudo" <<SH
#!/bin/sh
echo "sudo \$*" >>"$scratch/calls"
[ "\$1" != -n ] || exit \$(cat "$scratch/sudo_status")
exec "\$@"
SH
cat >"$scratch/bin/id" <<SH
#!/bin/sh
cat "$scratch/uid"
SH
chmod +x "$scratch"/bin/*

# Everything setup.sh may ask for, so that a case can take single packages away.
# shellcheck source=mount-scripts/setup.sh
everything=$(. "$top/mount-scripts/setup.sh" && printf '%s\n' "${build_packages[@]}" "${test_packages[@]}")

# run UID SUDO_STATUS LIST MISSING...: runs setup.sh LIST where MISSING are not installed.
run() {
  echo "$1" >"$scratch/uid"
  echo "$2" >"$scratch/sudo_status"
  local list=$3
  shift 3
  printf '%s\n' "$everything" >"$scratch/installed"
  local package
  for package in "$@"; do sed -i "/^$package\$/d" "$scratch/installed"; done
  : >"$scratch/calls"
  status=0
  env -u CI ${ci:+CI="$ci"} PATH="$scratch/bin:$PATH" \
    "$top/mount-scripts/setup.sh" "$list" >"$scratch/output" 2>&1 </dev/null || status=$?
}

failures=0
complain() {
  printf '%s: %s\n' "$name" "$1"
  printf '  status %d\n' "$status"
  sed 's/^/  calls:  /' "$scratch/calls"
  sed 's/^/  output: /' "$scratch/output"
  failures=$((failures + 1))
}
want_status() { [ "$status" -eq "$1" ] || complain "want status $1"; }
# want_calls COUNT PATTERN: so many recorded calls match.
want_calls() {
  [ "$(grep -cE -- "$2" "$scratch/calls")" -eq "$1" ] || complain "want $1 calls of $2"
}
want_said() { grep -qF -- "$1" "$scratch/output" || complain "want the message: $1"; }

ci=

name="everything there"
run 0 1 test
want_status 0
want_calls 0 .
want_said "everything is installed"

name="root, two build packages missing"
run 0 1 build cmake fuse3 fio
want_status 0
want_calls 1 '^apt-get update'
want_calls 1 '^apt-get install .*--no-install-recommends .* cmake fuse3$'
want_calls 0 '^sudo'

name="root, one of each list missing"
run 0 1 test g++ fio
want_status 0
want_calls 1 '^apt-get update'
want_calls 1 '^apt-get install .* g\+\+ fio$'

name="user with sudo"
run 1000 0 build cmake
want_status 0
want_calls 1 '^sudo env DEBIAN_FRONTEND=noninteractive apt-get install .* cmake$'

name="user without sudo, build package missing"
run 1000 1 build cmake
want_status 1
want_calls 0 '^apt-get'
want_said "apt-get install cmake"

name="user without sudo, test packages missing"
run 1000 1 test fio xfsprogs git python3-lmdb
want_status 0
want_calls 0 '^apt-get'
want_said "fio: the real.fio tests"
want_said "xfsprogs: mount tests on XFS"
want_said "git: the real.git test"
want_said "python3-lmdb: the real.lmdb test"

name="the same under CI"
ci=true
run 1000 1 test fio
want_status 1
want_said "under CI no test may be skipped"

name="a list that does not exist"
run 0 1 nonsense
want_status 1
want_said "usage: setup.sh [build|test|bench]"

[ "$failures" -eq 0 ]
