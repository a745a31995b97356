#include "alignfs/fuse/request_pace.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fuse.h>

#include <fstream>
#include <memory>
#include <span>

#include "alignfs/align/call.h"
#include "alignfs/file/buffered_file.h"
#include "scratch_folder.h"

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

class IndifferentObserver : public RequestObserver {
  CallView observe(const Fragment&) override { return {}; }
  void judged(Action, const Fragment&, const CallView&, const Rules&, const Diagnosis&) override {}
  void adapted(Action, const Fragment&, const Rules&) override {}
  void fallback(Fallback, const Fragment&, const Rules&) override {}
  void served(const Fragment&, const Served&) override {}
};

/// Requests about a file that is reached through the page cache.
class PaceOfCachedFile : public testing::Test {
 protected:
  static constexpr std::uint64_t kNode = 4711;

  PaceOfCachedFile() {
    std::ofstream(scratch_ / "file") << "bytes";
    inodes_ = *InodeTable::create(
        UniqueFd(::open(scratch_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), 16);
    struct stat attributes {};
    inode_ = *inodes_->look_up(inodes_->root(), "file", &attributes);
  }

  std::unique_ptr<File> open(bool dsync) {
    const FileServices services{buffers_, buffers_, observer_, counters_,
                                dsync ? Durability::data : Durability::none};
    return *BufferedFile::open(services, *inode_, *inodes_->open_state(*inode_),
                               *inodes_->reopen(*inode_, O_RDWR | O_CLOEXEC));
  }

  static Pace pace_of_transfer(std::uint32_t opcode, const File& file, int flags = O_RDWR) {
    struct {
      fuse_in_header header{};
      fuse_write_in in{};
    } message;
    message.header.len = sizeof message;
    message.header.opcode = opcode;
    message.header.nodeid = kNode;
    message.in.fh = reinterpret_cast<std::uint64_t>(&file);
    message.in.size = 5;
    message.in.flags = std::uint32_t(flags);
    return pace_of(std::as_bytes(std::span(&message, 1)));
  }

  IndifferentObserver observer_;
  Counters counters_;
  BufferPool buffers_{4096, 1};
  const ScratchFolder scratch_;
  std::unique_ptr<InodeTable> inodes_;
  Inode* inode_ = nullptr;
};

TEST_F(PaceOfCachedFile, ItsWritesTakeTurns) {
  const auto file = open(false);
  EXPECT_EQ(pace_of_transfer(FUSE_WRITE, *file).takes_turns_at, kNode);
  EXPECT_EQ(pace_of_transfer(FUSE_WRITE, *file).kind, Pace::Kind::may_wait);
  EXPECT_EQ(pace_of_transfer(FUSE_READ, *file).takes_turns_at, 0U);
}

TEST_F(PaceOfCachedFile, WhatIsWrittenOutWaitsForTheMediaInCompany) {
  EXPECT_EQ(pace_of_transfer(FUSE_WRITE, *open(false), O_RDWR | O_DSYNC).takes_turns_at, 0U);
  EXPECT_EQ(pace_of_transfer(FUSE_WRITE, *open(false), O_RDWR | O_SYNC).takes_turns_at, 0U);
  EXPECT_EQ(pace_of_transfer(FUSE_WRITE, *open(true)).takes_turns_at, 0U);
}

}  // namespace
}  // namespace alignfs
