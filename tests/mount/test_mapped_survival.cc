// The backing file emptied, cut, grown and punched under the daemon's hands, and the daemon killed:
// what a mapping turns into signals must reach the program as plain reads and writes do. The other
// modes run beside it.

#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <system_error>

#include "mount/support/crew.h"
#include "mount/support/fixture.h"
#include "mount/support/marked.h"
#include "mount/support/modes.h"

namespace alignfs::test {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kSize = 2 << 20;

/// Changes the file open at `fd` on the backing, once.
using Vandal = void (*)(int fd, std::minstd_rand& random);

void check(int result, const char* what) {
  if (result != 0) throw std::system_error(errno, std::generic_category(), what);
}

void empty(int fd, std::minstd_rand&) { check(ftruncate(fd, 0), "empty the file"); }

void cut_and_grow(int fd, std::minstd_rand& random) {
  check(ftruncate(fd, static_cast<off_t>(random() % kSize)), "cut the file");
  check(ftruncate(fd, kSize), "grow the file");
}

void punch(int fd, std::minstd_rand& random) {
  const auto offset = static_cast<off_t>(random() % kSize);
  check(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, 300'000), "punch");
}

struct Vandalism {
  Mode mode;
  const char* filesystem;
  const char* name;
  Vandal vandal;
};

void PrintTo(const Vandalism& one, std::ostream* out) {
  *out << one.mode.name << " " << one.filesystem << " " << one.name;
}

std::vector<Vandalism> vandalisms() {
  std::vector<Vandalism> list;
  for (const Mode& mode : {kMapped, kBuffered, kBounce}) {
    for (const char* filesystem : {"ext4", "xfs"}) {
      list.push_back({mode, filesystem, "emptied", empty});
      list.push_back({mode, filesystem, "cut_and_grown", cut_and_grow});
      list.push_back({mode, filesystem, "punched", punch});
    }
  }
  return list;
}

class Vandalised : public MountTest,
                   public ::testing::WithParamInterface<Vandalism>,
                   protected BackingAndMount {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    backing_ = std::make_unique<Backing>(LoopDisk::Shape{.filesystem = GetParam().filesystem});
    mount_ = std::make_unique<Mount>(backing_->path(), GetParam().mode.options);
  }
};

INSTANTIATE_TEST_SUITE_P(Backing, Vandalised, ::testing::ValuesIn(vandalisms()),
                         [](const auto& test) {
                           return std::string(test.param.mode.name) + "_" + test.param.filesystem +
                                  "_" + test.param.name;
                         });

/// Reads and writes at places of its own choice; complains of what a plain file would not do.
Crew::Work read_and_write(const std::string& path, unsigned seed) {
  return [fd = std::make_shared<Fd>(open_file(path, O_RDWR)), random = std::minstd_rand(seed),
          bytes = std::string()](unsigned round) mutable -> std::string {
    const auto offset = random() % kSize;
    const auto length = 1 + random() % std::min<std::size_t>(kSize - offset, 40'000);
    if (round % 2 == 0) {
      bytes = marked_bytes(offset, length, static_cast<unsigned>(random()));
      const ssize_t put = pwrite(fd->get(), bytes.data(), length, static_cast<off_t>(offset));
      return put == static_cast<ssize_t>(length) ? "" : failed_call("pwrite", offset, length, put);
    }
    bytes.resize(length);
    const ssize_t got = pread(fd->get(), bytes.data(), length, static_cast<off_t>(offset));
    if (got < 0) return failed_call("pread", offset, length, got);
    return find_unmarked(offset, std::string_view(bytes).substr(0, static_cast<std::size_t>(got)));
  };
}

/// Writes to a file that nobody else touches, and must find its own bytes again, all of them.
Crew::Work keep(const std::string& path, const std::shared_ptr<std::string>& content) {
  return [fd = std::make_shared<Fd>(open_file(path, O_RDWR)), random = std::minstd_rand(99),
          content](unsigned round) mutable -> std::string {
    const auto offset = random() % 100'000;
    const auto bytes = marked_bytes(offset, 5000, round);
    const ssize_t put = pwrite(fd->get(), bytes.data(), 5000, static_cast<off_t>(offset));
    if (put != 5000) return failed_call("pwrite to another file", offset, 5000, put);
    if (content->size() < offset + 5000) content->resize(offset + 5000);
    content->replace(offset, 5000, bytes);
    std::string found(content->size(), '\0');
    const ssize_t got = pread(fd->get(), found.data(), found.size(), 0);
    if (got != static_cast<ssize_t>(found.size()) || found != *content) {
      return "another file has lost its bytes in round " + std::to_string(round);
    }
    return "";
  };
}

TEST_P(Vandalised, EightThreadsReadAndWriteOn) {
  write_file(backing("file"), marked_bytes(0, kSize, 0));
  const auto still = pattern(50'000, 1);
  write_file(backing("still"), still);
  write_file(backing("busy"), "");
  const auto busy = std::make_shared<std::string>();
  const Fd inside = open_file(backing("file"), O_RDWR);
  Crew crew;
  for (unsigned i = 0; i < 8; ++i) crew.add(read_and_write(mounted("file"), 1 + i));
  crew.add(keep(mounted("busy"), busy));
  crew.add([&](unsigned) {
    return read_file(mounted("still")) == still ? "" : "an idle file has changed";
  });
  crew.add([&, random = std::minstd_rand(7)](unsigned) mutable -> std::string {
    GetParam().vandal(inside.get(), random);
    std::this_thread::sleep_for(milliseconds(1));
    return "";
  });
  // What this is about is the mapping; the others show that no more is asked than a file gives.
  crew.work_for(GetParam().mode.is_mapped() ? milliseconds(10'000) : milliseconds(300));
  EXPECT_EQ(crew.finish(), "");

  EXPECT_EQ(kill(mount_->pid(), 0), 0) << "the daemon is gone";
  EXPECT_TRUE(same_bytes(read_file(backing("busy")), *busy));
  EXPECT_TRUE(same_bytes(read_file(backing("still")), still));
  const auto content = read_file(backing("file"));
  EXPECT_EQ(find_unmarked(0, content), "");
  EXPECT_TRUE(same_bytes(read_file(mounted("file")), content));
}

class DaemonKilled : public MountTest, public ::testing::WithParamInterface<Mode> {};

INSTANTIATE_TEST_SUITE_P(Modes, DaemonKilled, ::testing::Values(kMapped, kBuffered, kBounce),
                         mode_name);

/// Writers note what was acknowledged; the daemon goes between two of their writes.
TEST_P(DaemonKilled, WhatWasAcknowledgedIsInTheBackingFile) {
  constexpr std::size_t kWriters = 4, kPart = 1 << 20;
  const Backing backing(LoopDisk::Shape{});
  for (unsigned run = 0; run < 5; ++run) {
    const auto name = "file" + std::to_string(run);
    std::string model = marked_bytes(0, kWriters * kPart, 0);
    write_file(backing / name, model);
    Mount mount(backing.path(), GetParam().options);
    std::vector<std::pair<std::size_t, std::size_t>> last(kWriters);
    Crew crew;
    for (std::size_t writer = 0; writer < kWriters; ++writer) {
      crew.add([&, writer, fd = std::make_shared<Fd>(open_file(mount / name, O_RDWR)),
                random = std::minstd_rand(1 + run * kWriters + writer)](
                   unsigned round) mutable -> std::string {
        const auto length = 1 + random() % 20'000;
        const auto offset = writer * kPart + random() % (kPart - length);
        const auto bytes = marked_bytes(offset, length, 1 + round);
        last[writer] = {offset, length};
        const ssize_t put = pwrite(fd->get(), bytes.data(), length, static_cast<off_t>(offset));
        if (put < 0) return "gone";
        // No replace(), which would also set the length that others look at.
        std::copy_n(bytes.begin(), put, model.begin() + std::ptrdiff_t(offset));
        return "";
      });
    }
    std::this_thread::sleep_for(milliseconds(100));
    EXPECT_EQ(mount.kill(SIGKILL), 128 + SIGKILL);
    EXPECT_EQ(crew.finish(), "gone");
    auto content = read_file(backing / name);
    ASSERT_EQ(content.size(), model.size());
    // Of the write in flight any part may have been made.
    for (const auto& [offset, length] : last) {
      EXPECT_EQ(find_unmarked(offset, std::string_view(content).substr(offset, length)), "");
      content.replace(offset, length, model, offset, length);
    }
    EXPECT_TRUE(same_bytes(content, model));
  }
}

}  // namespace
}  // namespace alignfs::test
