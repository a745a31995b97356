#include <fcntl.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>

#include "alignfs/base/result.h"
#include "alignfs/base/unique_fd.h"

namespace alignfs {
namespace {

using Owned = Result<std::unique_ptr<int>>;

TEST(Result, HoldsAValue) {
  const Result<int> result = 7;
  EXPECT_TRUE(result.ok());
  EXPECT_TRUE(static_cast<bool>(result));
  EXPECT_EQ(*result, 7);
  EXPECT_EQ(result.code(), 0);
}

TEST(Result, HoldsAnError) {
  const Result<int> result = Error{ENOSPC, "pwrite"};
  EXPECT_FALSE(result.ok());
  EXPECT_FALSE(static_cast<bool>(result));
  EXPECT_EQ(result.code(), ENOSPC);
  EXPECT_EQ(result.error().code, ENOSPC);
  EXPECT_STREQ(result.error().context, "pwrite");
}

TEST(Result, ValueThatLooksLikeFailureIsAValue) {
  EXPECT_TRUE(Result<int>(0).ok());
  EXPECT_TRUE(Result<bool>(false).ok());
  EXPECT_TRUE(Owned(nullptr).ok());
}

TEST(Result, ValueCanBeChangedInPlace) {
  Result<std::string> result = std::string("direct");
  *result += " I/O";
  result->push_back('!');
  EXPECT_EQ(*std::as_const(result), "direct I/O!");
  EXPECT_EQ(std::as_const(result)->size(), 11U);
}

TEST(Result, MoveOnlyValueMovesOut) {
  Owned result = std::make_unique<int>(7);
  const std::unique_ptr<int> taken = *std::move(result);
  ASSERT_NE(taken, nullptr);
  EXPECT_EQ(*taken, 7);
  EXPECT_EQ(*result, nullptr) << "moved, not copied";
}

TEST(Result, MovesAsAWhole) {
  Owned result = std::make_unique<int>(7);
  Owned moved = std::move(result);
  EXPECT_EQ(**moved, 7);
  moved = Error{EIO, "pread"};
  EXPECT_EQ(moved.code(), EIO);
}

TEST(Result, LastErrorTakesErrno) {
  EXPECT_EQ(::close(-1), -1);
  const Error error = last_error("close");
  EXPECT_EQ(error.code, EBADF);
  EXPECT_STREQ(error.context, "close");
}

TEST(Status, IsSuccessByDefault) {
  const Status status;
  EXPECT_TRUE(status.ok());
  EXPECT_TRUE(static_cast<bool>(status));
  EXPECT_EQ(status.code(), 0);
}

TEST(Status, HoldsAnError) {
  for (const int code : {EPERM, EIO, EDQUOT}) {
    const Status status = Error{code, "fsync"};
    EXPECT_FALSE(status.ok());
    EXPECT_FALSE(static_cast<bool>(status));
    EXPECT_EQ(status.code(), code);
    EXPECT_EQ(status.error().code, code);
    EXPECT_STREQ(status.error().context, "fsync");
  }
}

#ifndef NDEBUG
TEST(ResultDeathTest, WrongSideIsABug) {
  Result<int> failed = Error{EIO, "pread"};
  EXPECT_DEATH((void)*failed, "ok\\(\\)");
  const Result<int> good = 7;
  EXPECT_DEATH((void)good.error(), "ok\\(\\)");
  EXPECT_DEATH((void)Status().error(), "ok\\(\\)");
}
#endif

int open_null() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

static_assert(!std::is_copy_constructible_v<UniqueFd> && !std::is_copy_assignable_v<UniqueFd>);
static_assert(std::is_nothrow_move_constructible_v<UniqueFd>);
static_assert(std::is_nothrow_move_assignable_v<UniqueFd>);
static_assert(!std::is_convertible_v<int, UniqueFd>, "taking ownership is always spelt out");

TEST(UniqueFd, OwnsNothingByDefault) {
  const UniqueFd none;
  EXPECT_EQ(none.get(), -1);
  EXPECT_FALSE(none);
}

TEST(UniqueFd, ZeroIsADescriptor) {
  UniqueFd input(0);
  EXPECT_TRUE(input);
  EXPECT_EQ(input.release(), 0);
}

TEST(UniqueFd, ClosesAtTheEndOfItsLife) {
  const int fd = open_null();
  ASSERT_GE(fd, 0);
  {
    const UniqueFd owner(fd);
    EXPECT_TRUE(owner);
    EXPECT_EQ(owner.get(), fd);
    EXPECT_TRUE(is_open(fd));
  }
  EXPECT_FALSE(is_open(fd));
}

TEST(UniqueFd, ReleaseGivesUpOwnership) {
  UniqueFd owner(open_null());
  ASSERT_TRUE(owner);
  const int fd = owner.release();
  EXPECT_FALSE(owner);
  owner.reset();
  EXPECT_TRUE(is_open(fd));
  EXPECT_EQ(::close(fd), 0);
}

TEST(UniqueFd, ResetClosesTheOldAndKeepsTheNew) {
  UniqueFd owner(open_null());
  const int old_fd = owner.get();
  const int new_fd = open_null();
  ASSERT_GE(new_fd, 0);
  owner.reset(new_fd);
  EXPECT_FALSE(is_open(old_fd));
  EXPECT_EQ(owner.get(), new_fd);
  EXPECT_TRUE(is_open(new_fd));
  owner.reset();
  EXPECT_FALSE(owner);
  EXPECT_FALSE(is_open(new_fd));
}

TEST(UniqueFd, MovePassesOwnershipOn) {
  UniqueFd from(open_null());
  const int fd = from.get();
  const UniqueFd owner(std::move(from));
  EXPECT_FALSE(from);
  EXPECT_EQ(owner.get(), fd);
  EXPECT_TRUE(is_open(fd));
}

TEST(UniqueFd, MoveAssignmentClosesWhatWasOwned) {
  UniqueFd from(open_null());
  UniqueFd owner(open_null());
  const int moved = from.get();
  const int replaced = owner.get();
  owner = std::move(from);
  EXPECT_EQ(owner.get(), moved);
  EXPECT_FALSE(from);
  EXPECT_TRUE(is_open(moved));
  EXPECT_FALSE(is_open(replaced));
}

TEST(UniqueFd, SelfMoveKeepsTheDescriptor) {
  UniqueFd owner(open_null());
  const int fd = owner.get();
  UniqueFd& alias = owner;
  owner = std::move(alias);
  EXPECT_EQ(owner.get(), fd);
  EXPECT_TRUE(is_open(fd));
}

/// What the default logger prints while an object of this class lives.
class CapturedLog {
 public:
  CapturedLog() : saved_(spdlog::default_logger()) {
    auto sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(out_);
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("captured", std::move(sink)));
  }
  ~CapturedLog() { spdlog::set_default_logger(saved_); }
  CapturedLog(const CapturedLog&) = delete;
  CapturedLog& operator=(const CapturedLog&) = delete;

  std::string text() {
    spdlog::default_logger()->flush();
    return out_.str();
  }

 private:
  std::ostringstream out_;
  std::shared_ptr<spdlog::logger> saved_;
};

TEST(UniqueFd, FailedCloseIsLogged) {
  CapturedLog log;
  // Far above any descriptor limit in use, so that nobody's file is closed by accident.
  UniqueFd stale(1'999'999'999);
  stale.reset();
  EXPECT_FALSE(stale);
  EXPECT_NE(log.text().find("1999999999"), std::string::npos) << log.text();
}

TEST(UniqueFd, GoodCloseIsSilent) {
  CapturedLog log;
  UniqueFd(open_null()).reset();
  UniqueFd().reset();
  EXPECT_EQ(log.text(), "");
}

}  // namespace
}  // namespace alignfs
