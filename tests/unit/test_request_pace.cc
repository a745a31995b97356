#include "alignfs/fuse/request_pace.h"

#include <gtest/gtest.h>
#include <linux/fuse.h>

#include <span>

namespace alignfs {
namespace {

Pace pace_of_opcode(std::uint32_t opcode, std::uint32_t pid = 7) {
  fuse_in_header header{};
  header.len = sizeof header;
  header.opcode = opcode;
  header.pid = pid;
  return pace_of(std::as_bytes(std::span(&header, 1)));
}

TEST(PaceOf, NamesTheCaller) {
  EXPECT_EQ(pace_of_opcode(FUSE_GETATTR, 4711).caller, 4711);
  EXPECT_EQ(pace_of({}).caller, 0) << "a message that is none";
}

TEST(PaceOf, NobodyWaitsForWhatTheKernelTells) {
  for (const auto opcode :
       {FUSE_FORGET, FUSE_BATCH_FORGET, FUSE_INTERRUPT, FUSE_RELEASE, FUSE_RELEASEDIR}) {
    EXPECT_FALSE(pace_of_opcode(opcode).awaited) << opcode;
  }
  for (const auto opcode : {FUSE_LOOKUP, FUSE_GETATTR, FUSE_OPEN, FUSE_READ, FUSE_WRITE, FUSE_FLUSH,
                            FUSE_FSYNC, FUSE_READDIR, FUSE_DESTROY}) {
    EXPECT_TRUE(pace_of_opcode(opcode).awaited) << opcode;
  }
}

TEST(PaceOf, WhatGoesToTheMediaOrTakesAsLongAsAFileIsWaits) {
  for (const auto opcode : {FUSE_FSYNC, FUSE_FSYNCDIR, FUSE_FALLOCATE, FUSE_COPY_FILE_RANGE}) {
    EXPECT_EQ(pace_of_opcode(opcode).kind, Pace::Kind::waits) << opcode;
  }
  for (const auto opcode : {FUSE_FORGET, FUSE_BATCH_FORGET, FUSE_INTERRUPT}) {
    EXPECT_EQ(pace_of_opcode(opcode).kind, Pace::Kind::at_once) << opcode;
  }
  EXPECT_EQ(pace_of_opcode(FUSE_RELEASE).kind, Pace::Kind::may_wait) << "close may write";
  EXPECT_TRUE(pace_of_opcode(FUSE_WRITE).keeps_buffer);
  EXPECT_FALSE(pace_of_opcode(FUSE_READ).keeps_buffer);
}

}  // namespace
}  // namespace alignfs
