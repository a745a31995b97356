#include "../../fs/report/proc_syscall.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <limits>
#include <string>
#include <vector>

#include "fake_caller.h"

namespace alignfs {
namespace {

using Kind = CallView::Kind;

constexpr ino_t kInode = 77;
constexpr std::uint64_t kPage = 0x7f0000000000;  ///< a page boundary in the caller
constexpr std::uint64_t kVector = 0x55aa00;

Fragment fragment_of(Direction direction, std::uint64_t offset, std::uint64_t length) {
  Fragment fragment;
  fragment.direction = direction;
  fragment.offset = offset;
  fragment.length = length;
  fragment.requester.tid = 1;
  fragment.file = {1, kInode};
  return fragment;
}
Fragment read_of(std::uint64_t offset, std::uint64_t length) {
  return fragment_of(Direction::read, offset, length);
}
Fragment write_of(std::uint64_t offset, std::uint64_t length) {
  return fragment_of(Direction::write, offset, length);
}

DescriptorInfo descriptor_at(std::uint64_t position, int flags = O_RDWR) {
  return {position, flags, kInode};
}

struct Known {
  const char* name;
  long number;
  Direction direction;
  bool vector;
  bool states_offset;
};

void PrintTo(const Known& known, std::ostream* out) { *out << known.name; }

/// Calls that carry a buffer, one by one.
class CallWithBuffer : public testing::TestWithParam<Known> {
 protected:
  /// The call of `segments` at `offset` through descriptor 3.
  std::string line(const std::vector<Segment>& segments, std::uint64_t offset) {
    const std::uint64_t stated = GetParam().states_offset ? offset : 0xbad;
    if (!GetParam().vector) {
      return syscall_line(GetParam().number,
                          {3, segments[0].address, segments[0].length, stated, 0, 0});
    }
    caller_.put_vector(kVector, segments);
    return syscall_line(GetParam().number, {3, kVector, segments.size(), stated, 0, 0});
  }

  FakeCaller caller_;
};

TEST_P(CallWithBuffer, WholeAndAlignedIsSeenWithoutALookAtTheDescriptor) {
  const std::vector<Segment> segments = {{kPage, 8192}};
  const auto view =
      view_of_syscall(line(segments, 4096), fragment_of(GetParam().direction, 4096, 8192), caller_);
  ASSERT_EQ(view.kind, Kind::seen) << view.unseen;
  EXPECT_EQ(view.call.syscall, GetParam().name);
  EXPECT_EQ(view.call.fd, 3);
  EXPECT_EQ(view.call.offset, 4096U);
  EXPECT_EQ(view.call.length, 8192U);
  EXPECT_EQ(view.call.segments, segments);
  EXPECT_EQ(view.unseen, "");
  EXPECT_EQ(caller_.looks_at_descriptors, 0);
}

/// The page cache asks for whole pages, so nobody else can be behind such a request.
TEST_P(CallWithBuffer, WholeAndNoPagesIsSeenWithoutALookAtTheDescriptor) {
  for (const Segment& segment : {Segment{kPage + 16, 1000}, Segment{kPage, 512}}) {
    const auto view = view_of_syscall(
        line({segment}, 4608), fragment_of(GetParam().direction, 4608, segment.length), caller_);
    ASSERT_EQ(view.kind, Kind::seen) << view.unseen;
    EXPECT_EQ(view.call.offset, 4608U);
    EXPECT_EQ(view.call.length, segment.length);
  }
  EXPECT_EQ(caller_.looks_at_descriptors, 0);
}

TEST_P(CallWithBuffer, LaterFragmentIsToldAsTheWholeCall) {
  caller_.descriptors[3] = descriptor_at(4096);
  const std::vector<Segment> segments = {{kPage + 512, 1 << 20U}};
  const auto view = view_of_syscall(
      line(segments, 4096), fragment_of(GetParam().direction, 4096 + 1044480, 512), caller_);
  ASSERT_EQ(view.kind, Kind::seen) << view.unseen;
  EXPECT_EQ(view.call.offset, 4096U);
  EXPECT_EQ(view.call.length, std::uint64_t{1} << 20U);
  EXPECT_EQ(view.call.segments, segments);
}

TEST_P(CallWithBuffer, WhatDoesNotContainTheRequestIsNotTheCall) {
  caller_.descriptors[3] = descriptor_at(0);
  const auto request = fragment_of(GetParam().direction, 4096, 512);
  const auto view = view_of_syscall(line({{kPage, 4096}}, 0), request, caller_);
  EXPECT_EQ(view.kind, Kind::unseen);
  EXPECT_EQ(view.unseen,
            std::string("the caller's ") + GetParam().name + " does not contain this request");
  EXPECT_EQ(view.call.offset, 4096U) << "the fragment's own";
  EXPECT_EQ(view.call.length, 512U);
  EXPECT_TRUE(view.call.segments.empty());
}

TEST_P(CallWithBuffer, OtherFilesCallTouchesAMappingOfThisOne) {
  caller_.descriptors[3] = {0, O_RDWR, kInode + 1};
  const auto view = view_of_syscall(line({{kPage + 16, 4096}}, 0),
                                    fragment_of(GetParam().direction, 0, 4096), caller_);
  EXPECT_EQ(view.kind, Kind::page_access);
}

TEST_P(CallWithBuffer, RequestTheOtherWayTouchesAMapping) {
  const auto other = GetParam().direction == Direction::read ? Direction::write : Direction::read;
  const auto view = view_of_syscall(line({{kPage, 4096}}, 0), fragment_of(other, 0, 4096), caller_);
  EXPECT_EQ(view.kind, Kind::page_access);
}

TEST_P(CallWithBuffer, KernelThatNamesNoInodeIsBelieved) {
  caller_.descriptors[3] = {100, O_RDWR, std::nullopt};
  const auto view = view_of_syscall(line({{kPage + 16, 4096}}, 4096),
                                    fragment_of(GetParam().direction, 4096, 4096), caller_);
  EXPECT_EQ(view.kind, Kind::seen);
  EXPECT_EQ(caller_.looks_at_descriptors, 1);
}

INSTANTIATE_TEST_SUITE_P(
    Each, CallWithBuffer,
    testing::Values(Known{"read", SYS_read, Direction::read, false, false},
                    Known{"write", SYS_write, Direction::write, false, false},
                    Known{"pread64", SYS_pread64, Direction::read, false, true},
                    Known{"pwrite64", SYS_pwrite64, Direction::write, false, true},
                    Known{"readv", SYS_readv, Direction::read, true, false},
                    Known{"writev", SYS_writev, Direction::write, true, false},
                    Known{"preadv", SYS_preadv, Direction::read, true, true},
                    Known{"pwritev", SYS_pwritev, Direction::write, true, true},
                    Known{"preadv2", SYS_preadv2, Direction::read, true, true},
                    Known{"pwritev2", SYS_pwritev2, Direction::write, true, true}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(FilePosition, WholeRequestTellsWhereTheCallBegins) {
  FakeCaller caller;
  caller.descriptors[4] = descriptor_at(999999);
  const auto view = view_of_syscall(syscall_line(SYS_read, {4, kPage + 1, 100, 0, 0, 0}),
                                    read_of(50, 100), caller);
  ASSERT_EQ(view.kind, Kind::seen) << view.unseen;
  EXPECT_EQ(view.call.offset, 50U);
}

TEST(FilePosition, UnreadablePositionLeavesAFragmentUnseen) {
  FakeCaller caller;
  const auto view =
      view_of_syscall(syscall_line(SYS_read, {4, kPage, 8192, 0, 0, 0}), read_of(0, 4096), caller);
  EXPECT_EQ(view.kind, Kind::unseen);
  EXPECT_EQ(view.unseen, "the caller's file position could not be read");
}

TEST(FilePosition, PreadvTwoAtMinusOneUsesThePosition) {
  FakeCaller caller;
  caller.descriptors[4] = descriptor_at(512);
  caller.put_vector(kVector, {{kPage, 512}, {kPage + 4096, 7680}});
  const auto view = view_of_syscall(
      syscall_line(SYS_preadv2, {4, kVector, 2, ~std::uint64_t{0}, ~std::uint64_t{0}, 0}),
      read_of(4608, 4096), caller);
  ASSERT_EQ(view.kind, Kind::seen) << view.unseen;
  EXPECT_EQ(view.call.offset, 512U);
  EXPECT_EQ(view.call.length, 8192U);
  EXPECT_EQ(view.call.segments.size(), 2U);
}

TEST(Append, IgnoresThePositionAndTheOffset) {
  FakeCaller caller;
  caller.descriptors[4] = descriptor_at(0, O_WRONLY | O_APPEND);
  // The position would contain the request, and is not where an append goes.
  auto view = view_of_syscall(syscall_line(SYS_write, {4, kPage, 1 << 20U, 0, 0, 0}),
                              write_of(4196, 8192), caller);
  ASSERT_EQ(view.kind, Kind::seen) << view.unseen;
  EXPECT_EQ(view.call.offset, 4196U);
  view = view_of_syscall(syscall_line(SYS_pwrite64, {4, kPage, 8192, 0, 0, 0}), write_of(100, 8192),
                         caller);
  ASSERT_EQ(view.kind, Kind::seen) << view.unseen;
  EXPECT_EQ(view.call.offset, 100U);
}

TEST(Append, MayBeAskedForByTheCall) {
  FakeCaller caller;
  caller.descriptors[4] = descriptor_at(0);
  caller.put_vector(kVector, {{kPage, 4096}});
  const auto view = view_of_syscall(syscall_line(SYS_pwritev2, {4, kVector, 1, 0, 0, RWF_APPEND}),
                                    write_of(8000, 4096), caller);
  ASSERT_EQ(view.kind, Kind::seen) << view.unseen;
  EXPECT_EQ(view.call.offset, 8000U);
}

TEST(Append, MeansNothingToReads) {
  FakeCaller caller;
  caller.descriptors[4] = descriptor_at(0, O_RDWR | O_APPEND);
  const auto view = view_of_syscall(syscall_line(SYS_pread64, {4, kPage, 8192, 0, 0, 0}),
                                    read_of(8192, 4096), caller);
  EXPECT_EQ(view.kind, Kind::unseen);
}

/// No call moves more than MAX_RW_COUNT bytes, and it is cut before anybody judges it.
TEST(LongestCall, IsWhatLinuxMakesOfALongerOne) {
  constexpr std::uint64_t kLongest = 0x7ffff000;
  FakeCaller caller;
  auto view = view_of_syscall(syscall_line(SYS_pread64, {4, kPage, 0x7fffffff, 0, 0, 0}),
                              read_of(0, 1 << 20U), caller);
  ASSERT_EQ(view.kind, Kind::seen) << view.unseen;
  EXPECT_EQ(view.call.length, kLongest);
  EXPECT_EQ(view.call.segments, (std::vector<Segment>{{kPage, kLongest}}));
  caller.put_vector(kVector, {{kPage, kLongest - 4096}, {kPage, 5000}, {kPage + 7, 100}});
  view = view_of_syscall(syscall_line(SYS_pwritev, {4, kVector, 3, 0, 0, 0}), write_of(0, 1 << 20U),
                         caller);
  ASSERT_EQ(view.kind, Kind::seen) << view.unseen;
  EXPECT_EQ(view.call.length, kLongest);
  EXPECT_EQ(view.call.segments, (std::vector<Segment>{{kPage, kLongest - 4096}, {kPage, 4096}}));
  caller.put_vector(kVector, {{kPage, 4096}, {kPage + 7, 0}});
  view = view_of_syscall(syscall_line(SYS_pwritev, {4, kVector, 2, 0, 0, 0}), write_of(0, 4096),
                         caller);
  EXPECT_EQ(view.call.segments.size(), 2U) << "an empty one is judged, too";
}

TEST(Vector, LimitsAndUnreadableMemory) {
  FakeCaller caller;
  const auto unseen = [&caller](std::uint64_t address, std::uint64_t count) {
    return view_of_syscall(syscall_line(SYS_preadv, {3, address, count, 0, 0, 0}), read_of(0, 4096),
                           caller)
        .unseen;
  };
  EXPECT_EQ(unseen(kVector, 1), "the caller's vector: Bad address");
  EXPECT_EQ(unseen(kVector, kMaxSegments + 1), "the caller's vector has more than 1024 segments");
  caller.put_vector(kVector, {{kPage, std::numeric_limits<std::uint64_t>::max()}, {kPage, 2}});
  EXPECT_EQ(unseen(kVector, 2), "the caller's vector overflows");
  caller.put_vector(kVector, std::vector<Segment>(kMaxSegments, {kPage, 4096}));
  EXPECT_EQ(unseen(kVector, kMaxSegments), "");
}

iocb request_of(int opcode, int fd, std::uint64_t address, std::uint64_t length,
                std::uint64_t offset) {
  iocb request{};
  request.aio_lio_opcode = std::uint16_t(opcode);
  request.aio_fildes = std::uint32_t(fd);
  request.aio_buf = address;
  request.aio_nbytes = length;
  request.aio_offset = std::int64_t(offset);
  return request;
}

class IoSubmit : public testing::Test {
 protected:
  CallView look(const std::vector<iocb>& requests, const Fragment& fragment) {
    constexpr std::uint64_t kArray = 0x1000;
    caller_.put_iocbs(kArray, requests);
    return view_of_syscall(syscall_line(SYS_io_submit, {0x7f00, requests.size(), kArray, 0, 0, 0}),
                           fragment, caller_);
  }
  FakeCaller caller_;
};

TEST_F(IoSubmit, FindsTheRequestByDirectionAndRange) {
  caller_.put_vector(kVector, {{kPage, 512}, {kPage + 8192, 512}});
  const std::vector<iocb> requests = {
      request_of(IOCB_CMD_PREAD, 3, kPage + 16, 4096, 0),
      request_of(IOCB_CMD_PWRITE, 3, kPage + 32, 4096, 0),
      request_of(IOCB_CMD_PREAD, 3, kPage + 48, 4096, 4096),
      request_of(IOCB_CMD_PREADV, 3, kVector, 2, 65536),
      request_of(IOCB_CMD_PWRITEV, 3, kVector, 2, 65536),
      request_of(IOCB_CMD_FSYNC, 3, 0, 0, 0),
  };
  CallView view = look(requests, read_of(4096, 4096));
  ASSERT_EQ(view.kind, Kind::seen) << view.unseen;
  EXPECT_EQ(view.call.syscall, "io_submit");
  EXPECT_EQ(view.call.fd, 3);
  EXPECT_EQ(view.call.segments, (std::vector<Segment>{{kPage + 48, 4096}}));
  EXPECT_EQ(look(requests, write_of(0, 4096)).call.segments[0].address, kPage + 32);
  for (const Fragment& fragment : {read_of(65536, 1024), write_of(65536, 1024)}) {
    view = look(requests, fragment);
    ASSERT_EQ(view.kind, Kind::seen) << view.unseen;
    EXPECT_EQ(view.call.length, 1024U);
    EXPECT_EQ(view.call.segments.size(), 2U);
  }
}

TEST_F(IoSubmit, FragmentIsToldAsItsIocb) {
  const CallView view =
      look({request_of(IOCB_CMD_PWRITE, 3, kPage, 1 << 20U, 4096)}, write_of(8192, 4096));
  ASSERT_EQ(view.kind, Kind::seen) << view.unseen;
  EXPECT_EQ(view.call.offset, 4096U);
  EXPECT_EQ(view.call.length, std::uint64_t{1} << 20U);
}

TEST_F(IoSubmit, DescriptorsTellFilesApart) {
  caller_.descriptors[3] = {0, O_RDWR, kInode + 1};
  caller_.descriptors[4] = descriptor_at(0);
  const CallView view = look({request_of(IOCB_CMD_PREAD, 3, kPage + 16, 4096, 0),
                              request_of(IOCB_CMD_PREAD, 4, kPage + 32, 4096, 0)},
                             read_of(0, 4096));
  ASSERT_EQ(view.kind, Kind::seen) << view.unseen;
  EXPECT_EQ(view.call.fd, 4);
}

TEST_F(IoSubmit, SaysWhenItCannotTell) {
  caller_.descriptors[3] = descriptor_at(0);
  const std::vector<iocb> twins = {request_of(IOCB_CMD_PREAD, 3, kPage + 16, 4096, 0),
                                   request_of(IOCB_CMD_PREAD, 3, kPage + 32, 4096, 0)};
  EXPECT_EQ(look(twins, read_of(0, 4096)).unseen,
            "io_submit: more than one iocb covers this range");
  EXPECT_EQ(look(twins, read_of(0, 8192)).unseen,
            "io_submit: no iocb looked at contains this request");
  EXPECT_EQ(look({twins[0], twins[0]}, read_of(0, 4096)).kind, Kind::seen) << "the same twice";
  EXPECT_EQ(view_of_syscall(syscall_line(SYS_io_submit, {0, 1, 0xdead, 0, 0, 0}), read_of(0, 4096),
                            caller_)
                .unseen,
            "the caller's iocbs: Bad address");
}

struct Unseen {
  std::string line;
  std::string why;
};

TEST(OtherCalls, AreUnseenWithTheReason) {
  const FakeCaller caller;
  const auto call = [](long number) { return syscall_line(number, {3, kPage, 4096, 0, 0, 0}); };
  const std::vector<Unseen> cases = {
      {"running\n", "the caller was running, not waiting in a call"},
      {call(SYS_io_getevents), "io_submit has returned; the caller is in io_getevents"},
      {call(SYS_io_pgetevents), "io_submit has returned; the caller is in io_pgetevents"},
      {call(SYS_io_uring_enter), "io_uring: the request runs outside the caller's system call"},
      {call(SYS_sendfile), "sendfile: no user buffer"},
      {call(SYS_splice), "splice: no user buffer"},
      {call(SYS_copy_file_range), "copy_file_range: no user buffer"},
      {call(SYS_futex), "the caller is in futex"},
      {call(9999), "the caller is in system call 9999"},
      {syscall_line(SYS_read, {3, kPage, 4096, 0, 0, 0}, 0xffffd000),
       "the caller is a 32-bit program"},
      {syscall_line(SYS_read, {0, 0, 0, 0, 0, 0}, 0), "the caller is a kernel thread"},
      {"", "/proc/TID/syscall could not be understood"},
      {"0 0x3 nonsense", "/proc/TID/syscall could not be understood"},
      {"0 0x3 0x1 0x2", "/proc/TID/syscall could not be understood"},
  };
  for (const Unseen& expected : cases) {
    const CallView view = view_of_syscall(expected.line, read_of(0, 4096), caller);
    EXPECT_EQ(view.kind, Kind::unseen) << expected.line;
    EXPECT_EQ(view.unseen, expected.why) << expected.line;
    EXPECT_EQ(view.call.length, 4096U);
    EXPECT_EQ(view.call.syscall, "");
    EXPECT_EQ(view.call.fd, -1);
  }
}

TEST(OtherCalls, ThatWorkOnMappingsArePageAccess) {
  const FakeCaller caller;
  for (const long number : {SYS_msync, SYS_fsync, SYS_munmap, SYS_madvise, SYS_mlock, SYS_mmap,
                            SYS_exit_group, SYS_execve, SYS_fdatasync, SYS_mremap}) {
    EXPECT_EQ(view_of_syscall(syscall_line(number, {}), write_of(4096, 904), caller).kind,
              Kind::page_access)
        << number;
  }
  EXPECT_EQ(view_of_syscall("-1 0x7ffc12345678 0x7f1122334455\n", read_of(0, 4096), caller).kind,
            Kind::page_access)
      << "a page fault";
}

}  // namespace
}  // namespace alignfs
