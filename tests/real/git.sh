#!/bin/bash
# git on a mount over a 4K-native disk, in every mode: a repository with some hundred commits is
# cloned, worked in, packed anew and checked, on the mount and then on the backing. Needs root, git
# and ALIGNFS_BIN.
set -euo pipefail
# shellcheck source=tests/real/lib/mounts.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/mounts.sh"
need_program git

# Nobody's own settings, and the same commits each time.
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 HOME=$work
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_AUTHOR_DATE="1700000000 +0000"
export GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.org GIT_COMMITTER_DATE="1700000000 +0000"

# The history of the repository for git fast-import: each commit changes or adds a few files of all
# sizes in a tree of directories.
history() {
  awk 'BEGIN {
    srand(4096)
    for (commit = 1; commit <= 300; ++commit) {
      text = "commit " commit
      printf "commit refs/heads/main\ncommitter C <c@example.org> %d +0000\ndata %d\n%s\n",
             1600000000 + commit, length(text), text
      files = 1 + int(rand() * 6)
      for (i = 0; i < files; ++i) {
        number = int(rand() * 400)
        lines = rand() < 0.05 ? 3000 : 1 + int(rand() * 80)
        text = ""
        for (line = 0; line < lines; ++line) {
          text = text "line " int(rand() * 1000000) " of " commit "\n"
        }
        printf "M 100644 inline dir%d/sub%d/file%d\ndata %d\n%s\n", number % 7, number % 3, number,
               length(text), text
      }
    }
    print "done"
  }'
}

# What a repository holds: its branches and every object they reach.
content_of() {  # REPOSITORY
  git -C "$1" rev-parse HEAD
  git -C "$1" rev-list --objects --all | sort
}

check() {  # WHAT COMMAND...: runs COMMAND, and shows what it said where it fails
  local what=$1
  shift
  if ! "$@" >"$work/out" 2>&1; then
    echo "FAILED  $what ($mode):"
    cat "$work/out"
    exit 1
  fi
}

check_repository() {  # REPOSITORY
  check "fsck of $1" git -C "$1" fsck --full --strict
  check "status of $1" test -z "$(git -C "$1" status --porcelain)"
}

# Commits, a branch, a merge, a rebase, and everything packed anew.
work_in() {  # REPOSITORY
  local i
  git -C "$1" switch --quiet --create topic
  for i in {1..10}; do
    seq "$i" $((i * 1000)) >"$1/added$i"
    echo "line $i" >>"$1/appended"
    git -C "$1" add --all
    git -C "$1" commit --quiet --message "added $i"
  done
  git -C "$1" switch --quiet main
  git -C "$1" rm --quiet -r dir3
  git -C "$1" commit --quiet --message "removed dir3"
  git -C "$1" merge --quiet --no-edit topic
  git -C "$1" gc --quiet --prune=now --aggressive
}

repository=$work/repository
git init --quiet --initial-branch main "$repository"
history | git -C "$repository" fast-import --quiet --done
git -C "$repository" reset --quiet --hard
mode="no mount"
check_repository "$repository"
content_of "$repository" >"$work/cloned"
git clone --quiet "$repository" "$work/model"
work_in "$work/model"
content_of "$work/model" >"$work/worked"

make_disk
for mode in "${lenient_modes[@]}"; do
  started=$SECONDS
  mount_alignfs "$mode"
  clone=$work/mount/clone
  # As over a network: one pack, written and indexed on the mount.
  check "clone" git clone --quiet "file://$repository" "$clone"
  check_repository "$clone"
  content_of "$clone" >"$work/found"
  check "objects of the clone" diff "$work/cloned" "$work/found"
  check "files of the clone" diff --recursive --exclude .git "$repository" "$clone"

  work_in "$clone"
  check_repository "$clone"
  content_of "$clone" >"$work/found"
  check "objects after the work" diff "$work/worked" "$work/found"
  # From the mount to the mount, by links and by the copy of files.
  check "clone by links" git clone --quiet "$clone" "$clone-linked"
  check_repository "$clone-linked"
  check "clone by copies" git clone --quiet --no-hardlinks --bare "$clone" "$clone-copied"
  check "fsck of the copy" git -C "$clone-copied" fsck --full --strict
  unmount_alignfs

  check_repository "$work/disk/clone"
  check "files of the backing" diff --recursive --exclude .git "$work/model" "$work/disk/clone"
  check "fsck of the backing" git -C "$work/disk/clone-copied" fsck --full --strict
  rm -r "$work/disk"/clone*
  echo "ok  $mode $((SECONDS - started))s"
done
