#include "alignfs/io/transfer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <vector>

#include "alignfs/base/unique_fd.h"

namespace alignfs {
namespace {

class Transfer : public testing::Test {
 protected:
  Transfer() {
    char name[] = "/tmp/alignfs-transfer.XXXXXX";
    fd_ = UniqueFd(::mkstemp(name));
    ::unlink(name);
  }

  UniqueFd fd_;
};

/// Lets files grow to `bytes`: a write across that is short, and one beyond it fails with EFBIG.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  sighandler_t handler_;
};

TEST_F(Transfer, ReadsUpToTheEndOfFile) {
  ASSERT_EQ(::pwrite(fd_.get(), "0123456789", 10, 0), 10);
  std::vector<std::byte> buffer(100);
  const auto got = read_fully(fd_.get(), buffer, 4, 1);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(*got, 6U);
  EXPECT_EQ(char(buffer[0]), '4');
  EXPECT_EQ(*read_fully(fd_.get(), buffer, 10, 1), 0U);
}

TEST_F(Transfer, AnErrorBeforeTheFirstByteIsTold) {
  const UniqueFd write_only(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  std::vector<std::byte> buffer(10);
  EXPECT_EQ(read_fully(write_only.get(), buffer, 0, 1).code(), EBADF);
  const UniqueFd read_only(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(write_fully(read_only.get(), buffer, 0, 1, Durability::none).code(), EBADF);
}

TEST_F(Transfer, AShortWriteIsGoneOnWithUntilTheErrorShows) {
  const std::vector<std::byte> data(8192);
  const FileSizeLimit limit(5000);
  // 5000 bytes, then EFBIG: the program gets the count now and the error with its next write.
  EXPECT_EQ(*write_fully(fd_.get(), data, 0, 1, Durability::none), 5000U);
  EXPECT_EQ(write_fully(fd_.get(), data, 5000, 1, Durability::none).code(), EFBIG);
}

TEST_F(Transfer, DurabilityIsPassedOn) {
  const std::vector<std::byte> data(10);
  for (const auto durability : {Durability::none, Durability::data, Durability::file}) {
    EXPECT_EQ(*write_fully(fd_.get(), data, 0, 1, durability), 10U);
  }
}

TEST_F(Transfer, NothingToWriteIsNoError) {
  EXPECT_EQ(*write_fully(fd_.get(), {}, 0, 512, Durability::none), 0U);
}

}  // namespace
}  // namespace alignfs
