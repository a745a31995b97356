// Who is judged by a strict mount, and what is never judged.

#include <fcntl.h>
#include <liburing.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "mount/support/fixture.h"

namespace alignfs::test {
namespace {

class StrictMount : public MountTest {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    backing_ = std::make_unique<Backing>(LoopDisk::Shape{});
    write_file(*backing_ / "file", pattern(16384, 1));
  }
  /// Mounts with unaligned=reject and `more`.
  void mount(const std::string& more) {
    mount_ = std::make_unique<Mount>(backing_->path(), "unaligned=reject" + more);
    events_ = std::make_unique<Events>(mount_->path());
  }
  /// 0 or the errno of a write of 100 bytes at offset 10.
  static int write_misaligned(const Fd& fd) {
    AlignedBuffer buffer(100, 1);
    return pwrite(fd.get(), buffer.data(), 100, 10) == 100 ? 0 : errno;
  }

  std::unique_ptr<Backing> backing_;
  std::unique_ptr<Mount> mount_;
  std::unique_ptr<Events> events_;
};

TEST_F(StrictMount, EnforceAllJudgesPlainOpensToo) {
  mount("");
  EXPECT_EQ(write_misaligned(open_file(*mount_ / "file", O_RDWR)), EINVAL);
  EXPECT_EQ(write_misaligned(open_file(*mount_ / "file", O_RDWR | O_DIRECT)), EINVAL);
  EXPECT_EQ(events_->drain().size(), 2u);
}

TEST_F(StrictMount, EnforceOdirectBouncesPlainOpens) {
  mount(",enforce=odirect");
  EXPECT_EQ(write_misaligned(open_file(*mount_ / "file", O_RDWR)), 0);
  const auto bounced = events_->wait_for([](const auto&) { return true; });
  ASSERT_TRUE(bounced.has_value());
  EXPECT_EQ((*bounced)["action"], "bounced");
  EXPECT_TRUE((*bounced)["errno"].is_null());
  EXPECT_EQ(write_misaligned(open_file(*mount_ / "file", O_RDWR | O_DIRECT)), EINVAL);
  const auto rejected = events_->drain();
  ASSERT_EQ(rejected.size(), 1u);
  EXPECT_EQ(rejected[0]["action"], "rejected");
}

TEST_F(StrictMount, MemoryIsNotJudgedWhereMemAlignIsOff) {
  mount(",mem_align=off");
  const Fd fd = open_file(*mount_ / "file", O_RDWR | O_DIRECT);
  AlignedBuffer buffer(4096, 1);
  EXPECT_EQ(pwrite(fd.get(), buffer.data(), 4096, 4096), 4096);
  EXPECT_EQ(pread(fd.get(), buffer.data(), 4096, 4096), 4096);
  EXPECT_TRUE(events_->drain().empty());
  EXPECT_EQ(pwrite(fd.get(), buffer.data(), 4096, 100), -1);
  const auto events = events_->drain();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0]["broken"], nlohmann::json({"offset"}));
}

TEST_F(StrictMount, MemAlignMayBeCoarserThanTheDisk) {
  mount(",mem_align=4096");
  const Fd fd = open_file(*mount_ / "file", O_RDWR | O_DIRECT);
  AlignedBuffer buffer(4096, 512);
  EXPECT_EQ(pwrite(fd.get(), buffer.data(), 4096, 0), -1);
  const auto events = events_->drain();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0]["broken"], nlohmann::json({"memory"}));
  EXPECT_EQ(events[0]["required"]["memory"], 4096);
}

TEST_F(StrictMount, FlushOfASharedMapIsNeverRefused) {
  write_file(*backing_ / "text", pattern(5000, 2));
  mount("");
  const Fd fd = open_file(*mount_ / "text", O_RDWR);
  void* const map = mmap(nullptr, 5000, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  ASSERT_NE(map, MAP_FAILED) << "errno " << errno;
  std::copy_n("changed", 7, static_cast<char*>(map) + 4993);
  EXPECT_EQ(msync(map, 5000, MS_SYNC), 0) << "errno " << errno;
  EXPECT_EQ(munmap(map, 5000), 0);
  EXPECT_TRUE(
      same_bytes(read_file(*backing_ / "text"), pattern(5000, 2).substr(0, 4993) + "changed"));
  EXPECT_TRUE(events_->drain().empty());
  EXPECT_EQ(last_error(*mount_ / "text"), "");
}

/// The result of one request through io_uring: bytes, or a negative errno.
int through_ring(const Fd& fd, bool write, const iovec& buffer, std::uint64_t offset) {
  io_uring ring{};
  if (io_uring_queue_init(2, &ring, 0) != 0) return -ENOSYS;
  io_uring_sqe* const entry = io_uring_get_sqe(&ring);
  const auto length = static_cast<unsigned>(buffer.iov_len);
  if (write) {
    io_uring_prep_write(entry, fd.get(), buffer.iov_base, length, offset);
  } else {
    io_uring_prep_read(entry, fd.get(), buffer.iov_base, length, offset);
  }
  io_uring_cqe* done = nullptr;
  int result = io_uring_submit_and_wait(&ring, 1) == 1 ? 0 : -EIO;
  if (result == 0 && io_uring_wait_cqe(&ring, &done) == 0) result = done->res;
  io_uring_queue_exit(&ring);
  return result;
}

TEST_F(StrictMount, RequestsOfIoUringAreJudgedWithoutTheirBuffer) {
  mount("");
  const Fd fd = open_file(*mount_ / "file", O_RDWR | O_DIRECT);
  AlignedBuffer buffer(8192);
  for (const bool write : {false, true}) {
    EXPECT_EQ(through_ring(fd, write, {buffer.data(), 4096}, 4096), 4096);
    EXPECT_TRUE(events_->drain().empty());
    EXPECT_EQ(through_ring(fd, write, {buffer.data(), 1000}, 100), -EINVAL);
    const auto events = events_->drain();
    ASSERT_EQ(events.size(), 1u);
    const nlohmann::json& event = events[0];
    EXPECT_TRUE(event["buffer"].is_null()) << event.dump();
    ASSERT_TRUE(event["unseen"].is_string()) << event.dump();
    EXPECT_NE(event["unseen"], "");
    EXPECT_TRUE(event["syscall"].is_null()) << event.dump();
    EXPECT_EQ(event["offset"], 100);
    EXPECT_EQ(event["length"], 1000);
    EXPECT_EQ(event["broken"], nlohmann::json({"offset", "length"})) << event.dump();
  }
}

TEST_F(StrictMount, VectorsOfManySmallSegmentsAreJudgedByTheCall) {
  mount("");
  const Fd fd = open_file(*mount_ / "file", O_RDWR | O_CREAT | O_DIRECT);
  // Each segment costs the kernel a page of its request, so this call arrives in pieces that are no
  // whole blocks.
  constexpr std::size_t kSegments = 1000;
  AlignedBuffer buffer(kSegments * 4096);
  buffer.fill(pattern(kSegments * 4096, 3));
  std::vector<iovec> list;
  for (std::size_t i = 0; i < kSegments; ++i) list.push_back({buffer.data() + i * 4096, 512});
  const auto bytes = static_cast<ssize_t>(kSegments * 512);
  ASSERT_EQ(bytes % 4096, 0);
  EXPECT_EQ(pwritev(fd.get(), list.data(), kSegments, 4096), bytes) << "errno " << errno;
  EXPECT_TRUE(events_->drain().empty());
  std::string expected;
  for (const iovec& part : list) expected.append(static_cast<char*>(part.iov_base), part.iov_len);
  EXPECT_TRUE(same_bytes(read_file(*backing_ / "file").substr(4096), expected));
  std::fill_n(buffer.data(), buffer.size(), '\0');
  EXPECT_EQ(preadv(fd.get(), list.data(), kSegments, 4096), bytes) << "errno " << errno;
  EXPECT_TRUE(events_->drain().empty());
  std::string back;
  for (const iovec& part : list) back.append(static_cast<char*>(part.iov_base), part.iov_len);
  EXPECT_TRUE(same_bytes(back, expected));
}

TEST_F(StrictMount, BounceMountTellsWhatItBounced) {
  mount_ = std::make_unique<Mount>(backing_->path(), "unaligned=bounce");
  Events events(mount_->path());
  const Fd fd = open_file(*mount_ / "file", O_RDWR);
  EXPECT_EQ(write_misaligned(fd), 0);
  const auto event = events.wait_for([](const auto&) { return true; });
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ((*event)["action"], "bounced");
  EXPECT_EQ((*event)["op"], "write");
  EXPECT_EQ((*event)["offset"], 10);
  EXPECT_EQ((*event)["length"], 100);
  EXPECT_EQ((*event)["path"], "/file");
  const Stats stats(mount_->path());
  EXPECT_EQ(stats.value("alignfs_requests_total", "write", "bounced"), 1);
  EXPECT_EQ(stats.value("alignfs_bytes_total", "write", "bounced"), 100);
  EXPECT_EQ(stats.sum("alignfs_backing_read_bytes_total", "write"), 4096);
  EXPECT_EQ(stats.sum("alignfs_backing_write_bytes_total", "write"), 4096);
  EXPECT_EQ(last_error(*mount_ / "file"), "") << "nothing was refused";
}

TEST_F(StrictMount, SplitMountTellsWhatItSplit) {
  mount_ = std::make_unique<Mount>(backing_->path(), "unaligned=split");
  Events events(mount_->path());
  AlignedBuffer buffer(8000);
  const Fd fd = open_file(*mount_ / "file", O_RDWR);
  EXPECT_EQ(pwrite(fd.get(), buffer.data(), 8000, 100), 8000);
  const auto event = events.wait_for([](const auto&) { return true; });
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ((*event)["action"], "split");
  EXPECT_EQ(Stats(mount_->path()).value("alignfs_requests_total", "write", "split"), 1);
}

}  // namespace
}  // namespace alignfs::test
