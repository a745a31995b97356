#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "alignfs/base/unique_fd.h"

namespace alignfs {

struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    read_end.reset(ends[0]);
    write_end.reset(ends[1]);
  }
  UniqueFd read_end, write_end;
};

}  // namespace alignfs
