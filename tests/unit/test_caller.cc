#include "alignfs/report/caller.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/sched.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "alignfs/base/unique_fd.h"
#include "calling_thread.h"

namespace alignfs {
namespace {

using Kind = CallView::Kind;

Fragment read_by(pid_t tid, const Pipe& pipe, std::uint64_t offset, std::uint64_t length) {
  Fragment fragment;
  fragment.offset = offset;
  fragment.length = length;
  fragment.requester.tid = tid;
  fragment.file = {0, pipe.inode()};
  return fragment;
}

TEST(ObserveCall, ReadInAnotherThread) {
  Pipe pipe;
  std::array<char, 100> buffer{};
  const CallingThread caller([&] { (void)!read(pipe.reader(), buffer.data() + 3, 90); },
                             [&] { pipe.close_writer(); });
  caller.wait_for(std::to_string(SYS_read) + " ");
  const CallView view = observe_call(read_by(caller.tid(), pipe, 7000, 90));
  ASSERT_EQ(view.kind, Kind::seen) << view.unseen;
  EXPECT_EQ(view.call.syscall, "read");
  EXPECT_EQ(view.call.fd, pipe.reader());
  EXPECT_EQ(view.call.offset, 7000U);
  EXPECT_EQ(view.call.length, 90U);
  EXPECT_EQ(view.call.segments,
            (std::vector<Segment>{{std::uint64_t(buffer.data() + 3), std::uint64_t{90}}}));
}

TEST(ObserveCall, VectorInAnotherThread) {
  Pipe pipe;
  std::array<char, 10000> buffer{};
  iovec vector[] = {
      {buffer.data() + 1, 100}, {buffer.data() + 500, 0}, {buffer.data() + 600, 7000}};
  const CallingThread caller([&] { (void)!readv(pipe.reader(), vector, 3); },
                             [&] { pipe.close_writer(); });
  caller.wait_for(std::to_string(SYS_readv) + " ");
  // A pipe's position is 0, and this fragment lies 100 bytes into the call.
  const CallView view = observe_call(read_by(caller.tid(), pipe, 100, 4096));
  ASSERT_EQ(view.kind, Kind::seen) << view.unseen;
  EXPECT_EQ(view.call.syscall, "readv");
  EXPECT_EQ(view.call.fd, pipe.reader());
  EXPECT_EQ(view.call.offset, 0U);
  EXPECT_EQ(view.call.length, 7100U);
  ASSERT_EQ(view.call.segments.size(), 3U);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(view.call.segments[i],
              (Segment{std::uint64_t(vector[i].iov_base), vector[i].iov_len}));
  }
}

TEST(ObserveCall, DescriptorOfAnotherFileIsPageAccess) {
  Pipe pipe;
  const Pipe other;
  std::array<char, 8192> buffer{};
  const CallingThread caller([&] { (void)!read(pipe.reader(), buffer.data() + 3, 4096); },
                             [&] { pipe.close_writer(); });
  caller.wait_for(std::to_string(SYS_read) + " ");
  EXPECT_EQ(observe_call(read_by(caller.tid(), other, 0, 4096)).kind, Kind::page_access);
}

TEST(ObserveCall, ThreadThatComputesWasRunning) {
  const Pipe pipe;
  std::atomic<bool> done{false};
  const CallingThread caller(
      [&done] {
        while (!done) {
        }
      },
      [&done] { done = true; });
  const CallView view = observe_call(read_by(caller.tid(), pipe, 0, 90));
  EXPECT_EQ(view.kind, Kind::unseen);
  EXPECT_EQ(view.unseen, "the caller was running, not waiting in a call");
}

TEST(ObserveCall, PageFaultIsPageAccess) {
  constexpr std::size_t kSize = 4096;
  const UniqueFd fault_fd(int(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY)));
  if (!fault_fd) GTEST_SKIP() << "userfaultfd is not allowed here";
  uffdio_api api{.api = UFFD_API, .features = 0, .ioctls = 0};
  ASSERT_EQ(ioctl(fault_fd.get(), UFFDIO_API, &api), 0);
  void* page = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  uffdio_register watched{
      .range = {std::uint64_t(page), kSize}, .mode = UFFDIO_REGISTER_MODE_MISSING, .ioctls = 0};
  ASSERT_EQ(ioctl(fault_fd.get(), UFFDIO_REGISTER, &watched), 0);
  {
    const Pipe pipe;
    const CallingThread caller([&] { (void)*static_cast<volatile char*>(page); },
                               [&] {
                                 uffdio_zeropage zero{
                                     .range = watched.range, .mode = 0, .zeropage = 0};
                                 ioctl(fault_fd.get(), UFFDIO_ZEROPAGE, &zero);
                               });
    caller.wait_for("-1 ");
    EXPECT_EQ(observe_call(read_by(caller.tid(), pipe, 0, kSize)).kind, Kind::page_access);
  }
  munmap(page, kSize);
}

TEST(ObserveCall, NobodyAndTheGoneAreUnseen) {
  const Pipe pipe;
  EXPECT_EQ(observe_call(read_by(0, pipe, 0, 1)).unseen, "the kernel names no caller");
  const pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(observe_call(read_by(child, pipe, 0, 1)).unseen, "the calling thread is gone");
}

/// A process with the number `pid` of a thread that has ended, that waits in read(`fd`). -1 if the
/// kernel does not grant the number.
pid_t reader_with_number(pid_t pid, int fd) {
  pid_t wanted[] = {pid};
  clone_args how{};
  how.exit_signal = SIGCHLD;
  how.set_tid = reinterpret_cast<std::uint64_t>(wanted);
  how.set_tid_size = 1;
  pid_t child = -1;
  // A thread can be joined a moment before its number is free.
  do {
    child = pid_t(syscall(SYS_clone3, &how, sizeof how));
  } while (child < 0 && errno == EEXIST);
  if (child == 0) {
    char bytes[70];
    syscall(SYS_read, fd, bytes, sizeof bytes);
    _exit(0);
  }
  return child;
}

TEST(ObserveCall, NumberThatWentToAnotherThread) {
  if (geteuid() != 0) GTEST_SKIP() << "only root gives numbers to processes";
  Pipe pipe;
  pid_t number = 0;
  {
    Pipe first;
    char bytes[30];
    const CallingThread caller([&] { (void)!read(first.reader(), bytes, sizeof bytes); },
                               [&] { first.close_writer(); });
    caller.wait_for(std::to_string(SYS_read) + " ");
    number = caller.tid();
    ASSERT_EQ(observe_call(read_by(number, first, 0, 30)).call.length, 30U);
  }
  const pid_t child = reader_with_number(number, pipe.reader());
  ASSERT_EQ(child, number) << strerrordesc_np(errno);
  const CallView view = observe_call(read_by(child, pipe, 0, 70));
  EXPECT_EQ(view.kind, Kind::seen) << view.unseen;
  EXPECT_EQ(view.call.length, 70U);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

TEST(ObserveCall, CallersBeyondThoseThatAreRemembered) {
  constexpr std::size_t kCallers = 9;
  std::array<Pipe, kCallers> pipes;
  std::vector<std::unique_ptr<CallingThread>> callers;
  for (std::size_t i = 0; i < kCallers; ++i) {
    callers.push_back(std::make_unique<CallingThread>(
        [&, i] {
          char bytes[kCallers];
          (void)!read(pipes[i].reader(), bytes, i + 1);
        },
        [&, i] { pipes[i].close_writer(); }));
    callers.back()->wait_for(std::to_string(SYS_read) + " ");
  }
  for (int round = 0; round < 2; ++round) {
    for (std::size_t i = 0; i < kCallers; ++i) {
      const CallView view = observe_call(read_by(callers[i]->tid(), pipes[i], 0, i + 1));
      EXPECT_EQ(view.kind, Kind::seen) << view.unseen;
      EXPECT_EQ(view.call.length, i + 1);
    }
  }
}

TEST(ObserveCall, WithoutTheRightToTraceIsUnseen) {
  if (geteuid() != 0) GTEST_SKIP() << "needs two users";
  const Pipe pipe;
  // The child loses root, and with it the right to look at its parent.
  const pid_t child = fork();
  if (child == 0) {
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
    const CallView view = observe_call(read_by(getppid(), pipe, 0, 1));
    _exit(view.unseen == "may not trace the caller (ptrace permission)" ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(ObserveCall, RingWorkersAreKnownByName) {
  Pipe pipe;
  char byte = 0;
  const CallingThread caller(
      [&] {
        prctl(PR_SET_NAME, "iou-wrk-123");
        (void)!read(pipe.reader(), &byte, 1);
      },
      [&] { pipe.close_writer(); });
  caller.wait_for(std::to_string(SYS_read) + " ");
  EXPECT_EQ(observe_call(read_by(caller.tid(), pipe, 0, 4096)).unseen,
            "io_uring: the request runs outside the caller's system call");
}

}  // namespace
}  // namespace alignfs
