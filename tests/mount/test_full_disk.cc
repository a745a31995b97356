// A backing without room: the program hears of it at its write, and what it was told is written
// stays written. A store through a mapping is told by a signal.

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>
#include <thread>
#include <vector>

#include "mount/support/fixture.h"
#include "mount/support/marked.h"
#include "mount/support/modes.h"
#include "mount/support/overlay.h"

namespace alignfs::test {
namespace {

constexpr std::size_t kWriters = 4;
constexpr std::size_t kPart = 6 << 20;
constexpr std::size_t kRoom = 4 << 20;
constexpr std::size_t kRecord = 20'000;
/// The records neither meet nor leave whole blocks between them.
constexpr std::size_t kStride = 23'000;

struct Case {
  Mode mode;
  const char* filesystem;
};

void PrintTo(const Case& one, std::ostream* out) { *out << one.mode.name << " " << one.filesystem; }

std::vector<Case> cases() {
  std::vector<Case> list;
  for (const Mode& mode : {kMapped, kBuffered, kBounce}) {
    for (const char* filesystem : {"ext4", "xfs", "tmpfs"}) list.push_back({mode, filesystem});
  }
  return list;
}

/// What the writes to one file came to, byte by byte.
class Ledger {
 public:
  explicit Ledger(std::size_t size) : bytes_(size, '\0'), state_(size, kUntouched) {}

  /// pwrite() of `write`'s bytes, noted down. What it returned, or minus errno.
  ssize_t write(int fd, std::size_t offset, unsigned write) {
    const auto bytes = marked_bytes(offset, kRecord, write);
    const ssize_t put = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    const int error = errno;
    // Of what was not acknowledged nothing is known, except where it was acknowledged before.
    for (std::size_t i = 0; i < kRecord; ++i) {
      if (put > static_cast<ssize_t>(i)) {
        bytes_[offset + i] = bytes[i];
        state_[offset + i] = kAcknowledged;
      } else if (state_[offset + i] == kUntouched) {
        state_[offset + i] = kTried;
      }
    }
    return put < 0 ? -error : put;
  }

  std::size_t acknowledged() const {
    return std::count(state_.begin(), state_.end(), kAcknowledged);
  }

  /// What is wrong with the file; "" if nothing is.
  std::string judge(const std::string& content) const {
    if (content.size() != bytes_.size()) return std::to_string(content.size()) + " bytes";
    std::size_t lost = 0, strange = 0;
    for (std::size_t i = 0; i < content.size(); ++i) {
      if (state_[i] == kAcknowledged) lost += content[i] != bytes_[i];
      if (state_[i] == kUntouched) strange += content[i] != '\0';
    }
    if (lost + strange == 0) return "";
    return std::to_string(lost) + " acknowledged bytes lost, " + std::to_string(strange) +
           " bytes that nobody wrote";
  }

 private:
  enum State : char { kUntouched, kTried, kAcknowledged };
  std::string bytes_;
  std::vector<State> state_;
};

class NoRoom : public MountTest, public ::testing::WithParamInterface<Case> {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const std::string filesystem = GetParam().filesystem;
    if (filesystem == "tmpfs") {
      tmpfs_ = std::make_unique<TmpfsDir>("size=32m");
    } else {
      disk_ = std::make_unique<LoopDisk>(
          LoopDisk::Shape{.filesystem = filesystem, .megabytes = filesystem == "xfs" ? 300u : 32u});
    }
    const Fd sparse = open_file(backing("sparse"), O_RDWR | O_CREAT);
    ASSERT_EQ(ftruncate(sparse.get(), kWriters * kPart), 0);
    take_all_room();
    give_room(kRoom);
    mount_ = std::make_unique<Mount>(source(), GetParam().mode.options);
  }

  const std::string& source() const { return disk_ ? disk_->path() : tmpfs_->path(); }
  std::string backing(const std::string& name) const { return source() + "/" + name; }
  std::string mounted(const std::string& name) const { return *mount_ / name; }

  void take_all_room() {
    const Fd filler = open_file(backing("filler"), O_RDWR | O_CREAT);
    for (off_t piece = 16 << 20; piece >= 4096; piece /= 2) {
      while (fallocate(filler.get(), 0, filled_, piece) == 0) filled_ += piece;
    }
    ASSERT_EQ(errno, ENOSPC);
  }
  void give_room(std::size_t bytes) {
    filled_ -= static_cast<off_t>(bytes);
    ASSERT_EQ(truncate(backing("filler").c_str(), filled_), 0);
  }

  /// Compares what is in the backing, in memory and from the disk.
  void expect_kept(const std::string& name, const Ledger& ledger) {
    EXPECT_EQ(mount_->stop(), 0);
    EXPECT_EQ(ledger.judge(read_file(backing(name))), "");
    if (!disk_) return;
    disk_->remount();
    EXPECT_EQ(ledger.judge(read_file(backing(name))), "") << "after the disk was mounted anew";
  }

  std::unique_ptr<LoopDisk> disk_;
  std::unique_ptr<TmpfsDir> tmpfs_;
  std::unique_ptr<Mount> mount_;

 private:
  off_t filled_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Modes, NoRoom, ::testing::ValuesIn(cases()), [](const auto& test) {
  return std::string(test.param.mode.name) + "_" + test.param.filesystem;
});

TEST_P(NoRoom, WritesIntoHolesAreRefusedAndAcknowledgedOnesKept) {
  Ledger ledger(kWriters * kPart);
  std::vector<ssize_t> ends(kWriters);
  std::vector<std::thread> writers;
  for (std::size_t i = 0; i < kWriters; ++i) {
    writers.emplace_back([&, i] {
      const Fd fd = open_file(mounted("sparse"), O_RDWR);
      for (std::size_t at = i * kPart; at + kRecord <= (i + 1) * kPart; at += kStride) {
        ends[i] = ledger.write(fd.get(), at, static_cast<unsigned>(i));
        if (ends[i] < 0) break;
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  for (const ssize_t end : ends) EXPECT_EQ(end, -ENOSPC);
  EXPECT_GE(ledger.acknowledged(), kRoom / 2) << "there was room";
  EXPECT_EQ(kill(mount_->pid(), 0), 0) << "the daemon is gone";

  // Where there are blocks already no room is needed.
  Fd fd = open_file(mounted("sparse"), O_RDWR);
  EXPECT_EQ(ledger.write(fd.get(), 0, 9), ssize_t{kRecord});
  give_room(kRoom);
  for (std::size_t i = 0; i < kWriters; ++i) {
    EXPECT_EQ(ledger.write(fd.get(), (i + 1) * kPart - kRecord, 10), ssize_t{kRecord});
  }
  EXPECT_EQ(fd.close(), 0);
  EXPECT_EQ(ledger.judge(read_file(mounted("sparse"))), "");
  expect_kept("sparse", ledger);
}

TEST_P(NoRoom, GrowthIsRefusedAndAcknowledgedBytesKept) {
  std::string content;
  {
    const Fd fd = open_file(mounted("log"), O_RDWR | O_CREAT);
    ssize_t put = 0;
    for (unsigned i = 0; put >= 0 && content.size() < 2 * kRoom; ++i) {
      const auto record = pattern(kRecord, i);
      put = pwrite(fd.get(), record.data(), record.size(), static_cast<off_t>(content.size()));
      if (put > 0) content.append(record, 0, static_cast<std::size_t>(put));
    }
    EXPECT_EQ(put, -1);
    EXPECT_EQ(errno, ENOSPC);
    EXPECT_EQ(size_of(backing("log")), static_cast<std::int64_t>(content.size()));
    give_room(kRoom);
    const auto record = pattern(kRecord, 1);
    EXPECT_EQ(pwrite(fd.get(), record.data(), record.size(), static_cast<off_t>(content.size())),
              ssize_t{kRecord});
    content += record;
  }
  EXPECT_EQ(mount_->stop(), 0);
  EXPECT_TRUE(same_bytes(read_file(backing("log")), content));
  if (disk_) disk_->remount();
  EXPECT_TRUE(same_bytes(read_file(backing("log")), content));
}

/// Where maps go through the page cache of the mount, it writes pages back when the program is long
/// past its store: msync() and fsync() alone can still tell.
class NoRoomForPages : public MountTest, public ::testing::WithParamInterface<Mode> {};

INSTANTIATE_TEST_SUITE_P(Modes, NoRoomForPages, ::testing::Values(kMapped, kBuffered, kBounce),
                         mode_name);

TEST_P(NoRoomForPages, PagesThatAreNotWrittenAreReported) {
  constexpr std::size_t kSize = 1 << 20;
  constexpr off_t kLeft = 100 << 10;
  const TmpfsDir tmpfs("size=8m");
  const Overlay overlay(tmpfs.path());
  {
    const Fd file = open_file(overlay / "file", O_RDWR | O_CREAT);
    ASSERT_EQ(ftruncate(file.get(), kSize), 0);
    const Fd filler = open_file(tmpfs.path() + "/filler", O_RDWR | O_CREAT);
    off_t filled = 0;
    while (fallocate(filler.get(), 0, filled, 4096) == 0) filled += 4096;
    ASSERT_EQ(errno, ENOSPC);
    ASSERT_EQ(ftruncate(filler.get(), filled - kLeft), 0);
  }
  Mount mount(overlay.path(), GetParam().options);
  ASSERT_NE(read_file(mount / ".alignfs/options").find("shared_mmap=page_cache"),
            std::string::npos);
  const auto content = pattern(kSize, 1);
  const Fd fd = open_file(mount / "file", O_RDWR);
  void* const map = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  ASSERT_NE(map, MAP_FAILED);
  std::copy(content.begin(), content.end(), static_cast<char*>(map));
  EXPECT_EQ(msync(map, kSize, MS_SYNC), -1);
  EXPECT_EQ(errno, ENOSPC);
  munmap(map, kSize);
  // There was room for some of it, which is what makes an answer short.
  EXPECT_EQ(read_file(overlay / "file").substr(0, kLeft / 2), content.substr(0, kLeft / 2));
  EXPECT_EQ(kill(mount.pid(), 0), 0) << "the daemon is gone";
}

}  // namespace
}  // namespace alignfs::test
