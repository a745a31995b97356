// Both engines, and what FullTransfer makes of what they return.

#include "alignfs/io/engine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "alignfs/base/task.h"
#include "alignfs/base/unique_fd.h"
#include "alignfs/io/transfer.h"
#include "alignfs/io/uring_engine.h"
#include "tools/no_io_uring.h"
#include "unit/pipe.h"

namespace alignfs {
namespace {

UniqueFd scratch_file(const std::string& content) {
  char name[] = "/tmp/alignfs-engine.XXXXXX";
  UniqueFd fd(::mkstemp(name));
  ::unlink(name);
  EXPECT_EQ(::pwrite(fd.get(), content.data(), content.size(), 0), ssize_t(content.size()));
  return fd;
}

/// Looked again after this.
constexpr std::chrono::milliseconds kAWhile(100);

/// A call that notes its own end.
struct NotedCall : BackingCall {
  NotedCall(int file, std::span<char> buffer, std::uint64_t at) {
    fd = file;
    data = reinterpret_cast<std::byte*>(buffer.data());
    size = buffer.size();
    offset = at;
    BackingCall::ended = [](BackingCall& call) { static_cast<NotedCall&>(call).over = true; };
  }
  bool over = false;
};

void finish(UringEngine& engine) {
  while (engine.in_flight() != 0) {
    engine.wait_for_calls(kAWhile);
    engine.reap();
  }
}

class Uring : public testing::Test {
 protected:
  void SetUp() override {
    auto made = UringEngine::create(4);
    ASSERT_TRUE(made.ok()) << made.code();
    engine_ = *std::move(made);
  }
  std::unique_ptr<UringEngine> engine_;
};

TEST_F(Uring, CallsRunSideBySideAndEndInAnyOrder) {
  const auto file = scratch_file("0123456789");
  Pipe pipe;
  std::array<char, 4> slow{}, quick{};
  NotedCall waits(pipe.read_end.get(), slow, std::uint64_t(-1));
  NotedCall reads(file.get(), quick, 3);
  ASSERT_FALSE(engine_->start(waits));
  ASSERT_FALSE(engine_->start(reads));
  EXPECT_EQ(engine_->in_flight(), 2U);
  while (!reads.over) {
    engine_->wait_for_calls(kAWhile);
    engine_->reap();
  }
  EXPECT_EQ(std::string(quick.data(), 4), "3456");
  EXPECT_FALSE(waits.over);
  ASSERT_EQ(::write(pipe.write_end.get(), "abcd", 4), 4);
  finish(*engine_);
  EXPECT_EQ(waits.result, 4);
  EXPECT_EQ(std::string(slow.data(), 4), "abcd");
}

TEST_F(Uring, EndsNoMoreCallsAtOnceThanItIsAskedTo) {
  std::array<char, 1> buffer{};
  std::vector<NotedCall> ended_at_once(3, NotedCall(-1, buffer, 0));
  for (auto& call : ended_at_once) ASSERT_FALSE(engine_->start(call));
  EXPECT_EQ(engine_->queued(), 3U);
  engine_->submit();
  EXPECT_EQ(engine_->queued(), 0U);
  EXPECT_TRUE(engine_->has_more());
  for (unsigned left : {2U, 1U, 0U}) {
    EXPECT_EQ(engine_->reap(1), 1U);
    EXPECT_EQ(engine_->in_flight(), left);
  }
  EXPECT_FALSE(engine_->has_more());
}

TEST(UringEngine, CallsThatEndAtOnceDoNotKeepOthersFromEnding) {
  auto engine = UringEngine::create(16);
  ASSERT_TRUE(engine.ok());
  const Pipe pipe;
  std::array<char, 1> buffer{};
  NotedCall waits(pipe.read_end.get(), buffer, std::uint64_t(-1));
  ASSERT_FALSE((*engine)->start(waits));
  std::vector<NotedCall> ended_at_once(12, NotedCall(-1, buffer, 0));
  for (auto& call : ended_at_once) ASSERT_FALSE((*engine)->start(call));
  (*engine)->submit();
  ASSERT_EQ(::write(pipe.write_end.get(), "a", 1), 1);
  for (int round = 0; round < 1000 && !waits.over; ++round) {
    (*engine)->reap(4);
    for (auto& call : ended_at_once) {
      if (!std::exchange(call.over, false)) continue;
      ASSERT_FALSE((*engine)->start(call));
    }
  }
  EXPECT_TRUE(waits.over);
  finish(**engine);
}

TEST_F(Uring, TheResultIsThatOfTheSystemCall) {
  const auto file = scratch_file("0123456789");
  std::array<char, 8> buffer{};
  NotedCall at_the_end(file.get(), buffer, 6), behind(file.get(), buffer, 10),
      closed(-1, buffer, 0);
  NotedCall write(file.get(), buffer, 20);
  write.kind = BackingCall::Kind::write;
  for (auto* call : {&at_the_end, &behind, &closed, &write}) ASSERT_FALSE(engine_->start(*call));
  finish(*engine_);
  EXPECT_EQ(at_the_end.result, 4);
  EXPECT_EQ(behind.result, 0);
  EXPECT_EQ(closed.result, -EBADF);
  EXPECT_EQ(write.result, 8);
  EXPECT_EQ(std::filesystem::file_size("/proc/self/fd/" + std::to_string(file.get())), 28U);
}

TEST_F(Uring, FlagsOfTheCallGoDown) {
  const auto file = scratch_file("0123456789");
  std::array<char, 4> buffer{'a', 'b', 'c', 'd'};
  NotedCall append(file.get(), buffer, 0);
  append.kind = BackingCall::Kind::write;
  append.flags = RWF_APPEND;
  NotedCall unknown(file.get(), buffer, 0);
  unknown.flags = 1 << 30;
  ASSERT_FALSE(engine_->start(append));
  ASSERT_FALSE(engine_->start(unknown));
  finish(*engine_);
  std::array<char, 14> all{};
  ASSERT_EQ(::pread(file.get(), all.data(), all.size(), 0), 14);
  EXPECT_EQ(std::string(all.data(), 14), "0123456789abcd");
  EXPECT_EQ(unknown.result, -EOPNOTSUPP);
}

TEST_F(Uring, DurableWritesAreMadeAtOnce) {
  const auto file = scratch_file("0123456789");
  std::array<char, 4> buffer{'a', 'b', 'c', 'd'};
  for (const int flag : {RWF_DSYNC, RWF_SYNC}) {
    NotedCall write(file.get(), buffer, 0);
    write.kind = BackingCall::Kind::write;
    write.flags = flag;
    EXPECT_TRUE(engine_->start(write));
    EXPECT_EQ(write.result, 4);
  }
  EXPECT_EQ(engine_->in_flight(), 0U);
}

TEST_F(Uring, AFullRingMakesTheCallAtOnce) {
  const auto file = scratch_file("0123456789");
  Pipe pipe;
  std::array<char, 1> byte{};
  std::deque<NotedCall> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.emplace_back(pipe.read_end.get(), byte, std::uint64_t(-1));
    ASSERT_FALSE(engine_->start(waiting.back()));
  }
  NotedCall fifth(file.get(), byte, 5);
  EXPECT_TRUE(engine_->start(fifth));
  EXPECT_EQ(fifth.result, 1);
  EXPECT_EQ(byte[0], '5');
  EXPECT_EQ(engine_->in_flight(), 4U);
  ASSERT_EQ(::write(pipe.write_end.get(), "abcd", 4), 4);
  finish(*engine_);
}

TEST_F(Uring, MoreCallsThanEntriesEndInTheEnd) {
  const auto file = scratch_file(std::string(4096, 'x'));
  std::array<char, 4096> buffer{};
  for (int round = 0; round < 1000; ++round) {
    std::deque<NotedCall> calls;
    for (int i = 0; i < 7; ++i) {
      calls.emplace_back(file.get(), buffer, 0);
      if (engine_->start(calls.back())) calls.back().over = true;
    }
    finish(*engine_);
    for (const auto& call : calls) {
      ASSERT_TRUE(call.over);
      ASSERT_EQ(call.result, 4096);
    }
  }
}

// The ring gets the position of the file (-1); done again the call has one that a pipe refuses:
// what only the system call says shows that it was made.

TEST_F(Uring, WhatWouldBlockIsDoneByTheSystemCall) {
  Pipe pipe;
  std::array<char, 1> byte{};
  NotedCall call(pipe.read_end.get(), byte, std::uint64_t(-1));
  call.flags = RWF_NOWAIT;
  ASSERT_FALSE(engine_->start(call));
  engine_->submit();
  call.offset = 0;
  finish(*engine_);
  EXPECT_EQ(call.result, -ESPIPE);
}

/// The descriptor of the only ring that this process has.
int ring_of_this_process() {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    if (std::filesystem::read_symlink(entry, error) == "anon_inode:[io_uring]") {
      return std::stoi(entry.path().filename());
    }
  }
  return -1;
}

TEST_F(Uring, WhatIsCancelledIsDoneByTheSystemCall) {
  Pipe pipe;
  std::array<char, 1> byte{};
  NotedCall call(pipe.read_end.get(), byte, std::uint64_t(-1));
  ASSERT_FALSE(engine_->start(call));
  engine_->submit();
  call.offset = 0;
  io_uring_sync_cancel_reg everything{};
  everything.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
  everything.timeout = {-1, -1};
  constexpr unsigned kRegisterSyncCancel = 24;
  ASSERT_GE(
      ::syscall(SYS_io_uring_register, ring_of_this_process(), kRegisterSyncCancel, &everything, 1),
      0)
      << errno;
  finish(*engine_);
  EXPECT_EQ(call.result, -ESPIPE);
}

TEST(UringGuests, ShareTheRingWithCalls) {
  struct Counter final : UringEngine::Guest {
    void completed(int result) override { results.push_back(result); }
    std::vector<int> results;
  };
  auto engine = UringEngine::create(4, 2);
  ASSERT_TRUE(engine.ok());
  Counter first, second;
  const Pipe pipe;
  ASSERT_EQ(::write(pipe.write_end.get(), "a", 1), 1);
  for (int round = 1; round <= 100; ++round) {
    (*engine)->queue(first, [](io_uring_sqe* entry) { ::io_uring_prep_nop(entry); });
    (*engine)->queue(second, [](io_uring_sqe* entry) { ::io_uring_prep_close(entry, -1); });
    while (int(second.results.size()) < round || int(first.results.size()) < round) {
      (*engine)->submit_and_wait();
      (*engine)->end_calls();
    }
  }
  EXPECT_EQ(first.results, std::vector<int>(100, 0));
  EXPECT_EQ(second.results, std::vector<int>(100, -EBADF));
  EXPECT_EQ((*engine)->in_flight(), 0U);
}

TEST_F(Uring, WaitsForTheDescriptorToo) {
  Pipe pipe;
  ASSERT_EQ(::write(pipe.write_end.get(), "a", 1), 1);
  engine_->wait(pipe.read_end.get());
  EXPECT_EQ(engine_->reap(), 0U);
  engine_->wait(pipe.read_end.get());
  EXPECT_EQ(engine_->in_flight(), 0U);
}

TEST(UringEngine, WhereItIsForbiddenTheErrorSaysSo) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (!test::forbid_io_uring()) ::_exit(255);
    ::_exit(UringEngine::create(4).code());
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), EPERM);
}

/// Answers calls as a script says, at once or when told to.
class ScriptedEngine : public Engine {
 public:
  explicit ScriptedEngine(std::deque<ssize_t> results, bool at_once)
      : results_(std::move(results)), at_once_(at_once) {}

  bool start(BackingCall& call) override {
    seen.push_back({call.offset, call.size});
    call.result = results_.front();
    results_.pop_front();
    if (at_once_) return true;
    running_ = &call;
    return false;
  }
  /// Ends what runs; false if nothing does.
  bool end_one() {
    if (running_ == nullptr) return false;
    BackingCall* call = std::exchange(running_, nullptr);
    call->ended(*call);
    return true;
  }

  struct Seen {
    std::uint64_t offset;
    std::size_t size;
    bool operator==(const Seen&) const = default;
  };
  std::vector<Seen> seen;

 private:
  std::deque<ssize_t> results_;
  const bool at_once_;
  BackingCall* running_ = nullptr;
};

struct Script {
  const char* name;
  std::deque<ssize_t> results;
  std::uint32_t block;
  int error;
  std::size_t bytes;
  std::vector<ScriptedEngine::Seen> calls;
};

class Transfers : public testing::TestWithParam<std::tuple<Script, bool, bool>> {};

Detached transfer_all(BackingCall::Kind kind, std::span<std::byte> buffer, std::uint32_t block,
                      std::optional<Result<std::size_t>>& outcome) {
  if (kind == BackingCall::Kind::read) {
    outcome = co_await FullTransfer::read(7, buffer, 1000, block);
  } else {
    outcome = co_await FullTransfer::write(7, buffer, 1000, block, Durability::none);
  }
}

TEST_P(Transfers, GoOnAsFarAsTheyMay) {
  const auto& [script, at_once, writes] = GetParam();
  ScriptedEngine engine(script.results, at_once);
  const Engine::Use use(engine);
  std::vector<std::byte> buffer(4096);
  std::optional<Result<std::size_t>> outcome;
  transfer_all(writes ? BackingCall::Kind::write : BackingCall::Kind::read, buffer, script.block,
               outcome);
  while (engine.end_one()) {
  }
  ASSERT_TRUE(outcome.has_value());
  // A write of nothing is an error, a read of nothing the end of file.
  const bool nothing = script.error == 0 && script.bytes == 0;
  EXPECT_EQ(outcome->code(), nothing && writes ? EIO : script.error);
  if (outcome->ok()) {
    EXPECT_EQ(**outcome, script.bytes);
  }
  EXPECT_EQ(engine.seen, script.calls);
}

using Calls = std::vector<ScriptedEngine::Seen>;
INSTANTIATE_TEST_SUITE_P(
    All, Transfers,
    testing::Combine(
        testing::Values(
            Script{"whole", {4096}, 512, 0, 4096, Calls{{1000, 4096}}},
            Script{"interrupted",
                   {-EINTR, -EINTR, 4096},
                   512,
                   0,
                   4096,
                   Calls{{1000, 4096}, {1000, 4096}, {1000, 4096}}},
            Script{
                "short_on_a_block", {512, 3584}, 512, 0, 4096, Calls{{1000, 4096}, {1512, 3584}}},
            Script{"short_off_the_block", {700}, 512, 0, 700, Calls{{1000, 4096}}},
            Script{"short_anywhere", {700, 3396}, 1, 0, 4096, Calls{{1000, 4096}, {1700, 3396}}},
            Script{"interrupted_between",
                   {1024, -EINTR, 3072},
                   512,
                   0,
                   4096,
                   Calls{{1000, 4096}, {2024, 3072}, {2024, 3072}}},
            Script{"error", {-ENOSPC}, 512, ENOSPC, 0, Calls{{1000, 4096}}},
            Script{
                "error_after_some", {1024, -EIO}, 512, 0, 1024, Calls{{1000, 4096}, {2024, 3072}}},
            Script{"end_after_some", {1024, 0}, 512, 0, 1024, Calls{{1000, 4096}, {2024, 3072}}},
            Script{"nothing", {0}, 512, 0, 0, Calls{{1000, 4096}}}),
        testing::Bool(), testing::Bool()),
    [](const auto& info) {
      return std::string(std::get<0>(info.param).name) +
             (std::get<1>(info.param) ? "_at_once" : "_later") +
             (std::get<2>(info.param) ? "_write" : "_read");
    });

TEST(EngineOfThisThread, IsTheInnermostUse) {
  Engine& usual = Engine::of_this_thread();
  ScriptedEngine outer({}, true), inner({}, true);
  {
    const Engine::Use one(outer);
    EXPECT_EQ(&Engine::of_this_thread(), &outer);
    {
      const Engine::Use two(inner);
      EXPECT_EQ(&Engine::of_this_thread(), &inner);
    }
    EXPECT_EQ(&Engine::of_this_thread(), &outer);
  }
  EXPECT_EQ(&Engine::of_this_thread(), &usual);
}

}  // namespace
}  // namespace alignfs
