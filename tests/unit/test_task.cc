#include "alignfs/base/task.h"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace alignfs {
namespace {

Task<int> answer() { co_return 42; }
Task<int> failure() {
  throw std::runtime_error("no");
  co_return 0;
}
Task<std::unique_ptr<int>> twice(Task<int> task) {
  co_return std::make_unique<int>(2 * co_await std::move(task));
}

Detached run(Task<std::unique_ptr<int>> task, int& result) {
  try {
    result = *co_await std::move(task);
  } catch (const std::runtime_error&) {
    result = -1;
  }
}

TEST(Task, GivesItsValueToTheAwaiter) {
  int result = 0;
  run(twice(answer()), result);
  EXPECT_EQ(result, 84);
}

TEST(Task, GivesItsExceptionToTheAwaiter) {
  int result = 0;
  run(twice(failure()), result);
  EXPECT_EQ(result, -1);
}

Task<int> note(bool& ran) {
  ran = true;
  co_return 0;
}

TEST(Task, DoesNothingUntilAwaited) {
  bool ran = false;
  { const auto task = note(ran); }
  EXPECT_FALSE(ran);
}

struct Suspend {
  std::coroutine_handle<>& handle;
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> waiting) { handle = waiting; }
  void await_resume() const {}
};

Detached log_when_resumed(std::coroutine_handle<>& handle, std::string& log, char mark) {
  co_await Suspend{handle};
  log += mark;
}

TEST(ReadyQueue, WaitsForTheEndOfTheScope) {
  std::coroutine_handle<> handle;
  std::string log;
  log_when_resumed(handle, log, 'b');
  {
    const ReadyQueue::Scope scope;
    ReadyQueue::schedule(handle);
    log += 'a';
  }
  EXPECT_EQ(log, "ab");
}

TEST(ReadyQueue, InnerScopesChangeNothing) {
  std::coroutine_handle<> handle;
  std::string log;
  log_when_resumed(handle, log, 'b');
  {
    const ReadyQueue::Scope outer;
    {
      const ReadyQueue::Scope inner;
      ReadyQueue::schedule(handle);
    }
    log += 'a';
  }
  EXPECT_EQ(log, "ab");
}

TEST(ReadyQueue, ResumesAtOnceWithoutAScope) {
  std::coroutine_handle<> handle;
  std::string log;
  log_when_resumed(handle, log, 'b');
  ReadyQueue::schedule(handle);
  EXPECT_EQ(log, "b");
}

}  // namespace
}  // namespace alignfs
