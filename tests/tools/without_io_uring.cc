// without_io_uring [-a ENTRIES] PROGRAM ARGUMENT...: runs PROGRAM where io_uring is forbidden, as
// in a container; rings of up to ENTRIES entries are allowed all the same.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tools/no_io_uring.h"

int main(int argc, char** argv) {
  unsigned allowed = 0;
  if (argc > 2 && std::strcmp(argv[1], "-a") == 0) {
    allowed = unsigned(std::strtoul(argv[2], nullptr, 10));
    argc -= 2;
    argv += 2;
  }
  if (argc < 2 || !alignfs::test::forbid_io_uring(allowed)) {
    std::fprintf(stderr,
                 "usage: without_io_uring [-a ENTRIES] PROGRAM ARGUMENT... (a kernel with "
                 "seccomp)\n");
    return 2;
  }
  execvp(argv[1], argv + 1);
  std::perror(argv[1]);
  return 2;
}
