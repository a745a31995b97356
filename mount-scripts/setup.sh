#!/usr/bin/env bash
# Installs the Debian packages that alignfs needs, as far as they are missing.
#
#   mount-scripts/setup.sh [build|test|bench]     "test", the default, and "bench" include "build"
#
# try.sh and tests/run.sh source this file for its functions. Sudo is used for apt-get alone, and
# only where something is missing.

build_packages=(
  g++ cmake ninja-build pkg-config ccache
  libfuse3-dev libspdlog-dev libfmt-dev libgtest-dev liburing-dev nlohmann-json3-dev libcli11-dev
  libedit-dev libncurses-dev
  fuse3 python3
)
# What a test does without each of these is said in missing_tests below.
test_packages=(
  fio git xfsprogs btrfs-progs e2fsprogs acl attr python3-numpy python3-lmdb
  python3-jsonschema python3-pyte util-linux mount
)

# For tests/bench: what it measures with, what it measures against, and the chart.
bench_packages=(fio git bindfs mergerfs python3-matplotlib)

say() { printf '==> %s\n' "$*"; }
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

under_ci() { [ -n "${CI+set}" ]; }

# The packages among "$@" that are not installed, one a line.
missing_packages() {
  local installed package
  installed=$(dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null |
    sed -n 's/^.i. //p') || true
  for package in "$@"; do
    grep -qxF -- "$package" <<<"$installed" || printf '%s\n' "$package"
  done
}

# True if packages can be installed: as root, or by sudo (which may ask for a password on a terminal).
may_install() {
  [ "$(id -u)" -eq 0 ] && return 0
  command -v sudo >/dev/null || return 1
  sudo -n true 2>/dev/null || [ -t 0 ]
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

install_packages() {
  [ "$(id -u)" -eq 0 ] || say "sudo is used to install them and may ask for your password"
  say "apt-get update"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq || return
  say "apt-get install $*"
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "$@" >/dev/null
}

# What cannot be tested without the packages "$@".
missing_tests() {
  local package
  for package in "$@"; do
    case $package in
      fio) echo "fio: the real.fio tests" ;;
      git) echo "git: the real.git test" ;;
      xfsprogs) echo "xfsprogs: mount tests on XFS" ;;
      btrfs-progs) echo "btrfs-progs: mount tests on btrfs" ;;
      e2fsprogs) echo "e2fsprogs: mount tests on ext4" ;;
      util-linux | mount) echo "$package: every test that needs a loop device" ;;
      acl) echo "acl: tests of POSIX ACLs" ;;
      attr) echo "attr: tests of extended attributes by command" ;;
      python3-numpy) echo "python3-numpy: the python tests that use numpy" ;;
      python3-jsonschema) echo "python3-jsonschema: tests of alignctl --json" ;;
      python3-pyte) echo "python3-pyte: the test of alignctl top" ;;
      python3-lmdb) echo "python3-lmdb: the real.lmdb test" ;;
      *) echo "$package: the tests that use it" ;;
    esac
  done
}

# ensure_packages build|test|bench: installs what is missing. Missing packages of build and bench
# that cannot be installed are an error; missing test packages are one only where CI is set.
ensure_packages() {
  local -a build_missing=() test_missing=()
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "not a Debian system: expecting the equivalents of ${build_packages[*]}"
    return
  fi
  local -a needed=("${build_packages[@]}")
  [ "$1" = bench ] && needed+=("${bench_packages[@]}")
  mapfile -t build_missing < <(missing_packages "${needed[@]}")
  [ "$1" = test ] && mapfile -t test_missing < <(missing_packages "${test_packages[@]}")
  if [ $((${#build_missing[@]} + ${#test_missing[@]})) -eq 0 ]; then
    say "packages: everything is installed"
    return
  fi
  say "packages missing: ${build_missing[*]} ${test_missing[*]}"
  if may_install; then
    install_packages "${build_missing[@]}" "${test_missing[@]}" ||
      die "apt-get could not install them; its messages are above"
    return
  fi
  [ ${#build_missing[@]} -eq 0 ] ||
    die "cannot install them without root: apt-get install ${build_missing[*]}"
  under_ci && die "cannot install them without root, and under CI no test may be skipped"
  say "cannot install them without root; these tests will be skipped:"
  missing_tests "${test_missing[@]}" | sed 's/^/      /'
}

# build_preset NAME [TARGET]: configures and builds in build/NAME, everything or one target. Expects
# to stand in the top directory.
build_preset() {
  say "configure preset $1"
  cmake --preset "$1" >"$(log_of "$1")" 2>&1 || {
    cat "$(log_of "$1")" >&2
    die "cmake --preset $1 failed"
  }
  say "build preset $1"
  cmake --build --preset "$1" --target "${2:-all}" || die "the build of preset $1 failed"
}

log_of() {
  mkdir -p "build/$1"
  printf 'build/%s/configure.log' "$1"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  set -euo pipefail
  case ${1:-test} in
    build | test | bench) ensure_packages "${1:-test}" ;;
    *) die "usage: ${0##*/} [build|test|bench]" ;;
  esac
fi
