// without_io_uring PROGRAM ARGUMENT...: runs PROGRAM where io_uring is forbidden, as in a
// container.

#include <unistd.h>

#include <cstdio>

#include "tools/no_io_uring.h"

int main(int argc, char** argv) {
  if (argc < 2 || !alignfs::test::forbid_io_uring()) {
    std::fprintf(stderr, "usage: without_io_uring PROGRAM ARGUMENT... (a kernel with seccomp)\n");
    return 2;
  }
  execvp(argv[1], argv + 1);
  std::perror(argv[1]);
  return 2;
}
