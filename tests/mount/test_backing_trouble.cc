// Backings in trouble: pages that cannot be read, files that cannot be mapped, a server without
// room. The program gets what the backing itself would have given it.

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"
#include "mount/support/trouble.h"

namespace alignfs::test {
namespace {

constexpr std::size_t kPage = 4096;

class BackingTrouble : public MountTest, public ::testing::WithParamInterface<Mode> {
 protected:
  void mount_over(const std::string& trouble, const std::string& more_options = "") {
    trouble_ = std::make_unique<TroubleFs>(disk_.path(), trouble);
    mount_ = std::make_unique<Mount>(trouble_->path(), GetParam().options + more_options);
  }
  /// Below the trouble, on it, and on the mount over it.
  std::string below(const std::string& name) const { return disk_ / name; }
  std::string backing(const std::string& name) const { return *trouble_ / name; }
  std::string mounted(const std::string& name) const { return *mount_ / name; }

  TempDir disk_;
  std::unique_ptr<TroubleFs> trouble_;
  std::unique_ptr<Mount> mount_;
};

INSTANTIATE_TEST_SUITE_P(Modes, BackingTrouble, ::testing::Values(kMapped, kBuffered, kBounce),
                         mode_name);

TEST_P(BackingTrouble, ReadsAroundBadPagesAreThoseOfTheBacking) {
  const std::string content = pattern(10 * kPage + 123, 1);
  write_file(below("file"), content);
  write_file(below("other"), content);
  mount_over("bad_pages=3:7:8:20");
  const Fd plain = open_file(backing("file"), O_RDONLY);
  const Fd fd = open_file(mounted("file"), O_RDONLY);
  unsigned errors = 0, cut_short = 0;
  for (std::size_t page = 0; page <= 11; ++page) {
    for (const std::size_t past : {0u, 1u, 100u, 2048u, 4095u}) {
      const std::size_t offset = page * kPage + past;
      for (const std::size_t length :
           {std::size_t{1}, std::size_t{2}, kPage - past, kPage, kPage + 1, 2 * kPage, 9 * kPage}) {
        const auto expected = try_pread(plain, offset, length);
        ASSERT_TRUE(same_bytes(try_pread(fd, offset, length), expected))
            << "offset " << offset << " length " << length;
        errors += expected.starts_with("errno 5");
        cut_short += expected.size() < std::min(length, content.size() - offset);
      }
    }
  }
  EXPECT_GE(errors, 3 * 5 * 7u) << "the pages were to be bad";
  EXPECT_GT(cut_short, errors) << "good pages before a bad one";
  EXPECT_TRUE(same_bytes(try_pread(open_file(mounted("other"), O_RDONLY), 0, 3 * kPage),
                         content.substr(0, 3 * kPage)));
  EXPECT_EQ(kill(mount_->pid(), 0), 0) << "the daemon is gone";
}

TEST_P(BackingTrouble, GoodPagesCanBeWrittenBesideBadOnes) {
  std::string content = pattern(10 * kPage, 2);
  write_file(below("file"), content);
  mount_over("bad_pages=3");
  const Fd fd = open_file(mounted("file"), O_RDWR);
  EXPECT_EQ(try_pread(fd, 3 * kPage + 5, 10), "errno 5");
  for (const std::size_t offset : {0 * kPage, 2 * kPage + 1000, 4 * kPage, 8 * kPage + 3000}) {
    const auto bytes = pattern(2000, offset);
    EXPECT_EQ(pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)), 2000);
    content.replace(offset, bytes.size(), bytes);
    EXPECT_TRUE(same_bytes(try_pread(fd, offset, 2000), bytes));
  }
  EXPECT_EQ(try_pread(fd, 3 * kPage, kPage), "errno 5");
  EXPECT_EQ(fsync(fd.get()), 0);
  EXPECT_TRUE(same_bytes(read_file(below("file")), content));
}

/// A program's own map of a bad page ends the program, never the daemon.
TEST_P(BackingTrouble, AMapOfABadPageConcernsItsProgramAlone) {
  write_file(below("file"), pattern(10 * kPage, 3));
  mount_over("bad_pages=3");
  const int died = as_user(0, 0, {}, [&] {
    signal(SIGBUS, SIG_DFL);  // a sanitizer would make a report of it
    const Fd fd = open_file(mounted("file"), O_RDONLY);
    const auto* map = static_cast<const volatile char*>(
        mmap(nullptr, 10 * kPage, PROT_READ, MAP_SHARED, fd.get(), 0));
    if (map == MAP_FAILED) return errno;
    if (map[2 * kPage] != pattern(10 * kPage, 3)[2 * kPage]) return 1;
    return map[3 * kPage] == 0 ? 2 : 3;
  });
  EXPECT_EQ(died, 255) << "by SIGBUS, as on the backing";
  EXPECT_TRUE(same_bytes(try_pread(open_file(mounted("file"), O_RDONLY), 0, 2 * kPage),
                         pattern(10 * kPage, 3).substr(0, 2 * kPage)));
}

/// Files of a server take stores and refuse them when they are written back, behind everybody.
TEST_P(BackingTrouble, AServerWithoutRoomRefusesTheWriteItself) {
  constexpr std::size_t kRoom = 16 * kPage, kSize = 64 * kPage;
  write_file(below("file"), "");
  ASSERT_EQ(truncate(below("file").c_str(), kSize), 0);
  mount_over("max_size=" + std::to_string(kRoom));
  std::string content(kSize, '\0');
  {
    const Fd fd = open_file(mounted("file"), O_RDWR);
    for (std::size_t offset = 0; offset < kSize; offset += kPage) {
      const auto bytes = pattern(1000, offset);
      const ssize_t put = pwrite(fd.get(), bytes.data(), 1000, static_cast<off_t>(offset));
      if (offset < kRoom) {
        EXPECT_EQ(put, 1000) << offset;
        content.replace(offset, 1000, bytes);
      } else {
        EXPECT_EQ(put, -1) << offset;
        EXPECT_EQ(errno, ENOSPC);
      }
    }
    EXPECT_EQ(fsync(fd.get()), 0);
  }
  EXPECT_EQ(mount_->stop(), 0);
  EXPECT_TRUE(same_bytes(read_file(below("file")), content));
}

class Unmappable : public BackingTrouble {};

INSTANTIATE_TEST_SUITE_P(Modes, Unmappable, ::testing::Values(kMapped), mode_name);

TEST_P(Unmappable, FilesAreReadAndWrittenAllTheSameAndItIsSaidOnce) {
  std::string content = pattern(100'000, 4);
  write_file(below("one"), content);
  mount_over("direct_io");
  Events events(mount_->path());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(same_bytes(read_file(mounted("one")), content));
  write_file(mounted("two"), content);
  {
    const Fd fd = open_file(mounted("two"), O_RDWR);
    ASSERT_EQ(pwrite(fd.get(), "in the middle", 13, 4090), 13);
    ASSERT_EQ(pwrite(fd.get(), "behind the end", 14, 100'100), 14);
    content.replace(4090, 13, "in the middle");
    content += std::string(100, '\0') + "behind the end";
    EXPECT_TRUE(same_bytes(try_pread(fd, 0, 200'000), content));
  }
  EXPECT_TRUE(same_bytes(read_file(below("two")), content));

  std::vector<nlohmann::json> told;
  for (const auto& event : events.drain()) {
    if (event["action"] == "fallback") told.push_back(event);
  }
  ASSERT_EQ(told.size(), 1u) << "once a device";
  EXPECT_NE(told[0]["reason"].get<std::string>().find("are not mapped"), std::string::npos)
      << told[0];
  EXPECT_EQ(told[0]["path"], "/one");
  const auto log = mount_->log();
  const auto line = log.find("files like this one are not mapped");
  EXPECT_NE(line, std::string::npos) << log;
  EXPECT_EQ(log.find("files like this one are not mapped", line + 1), std::string::npos) << log;
  for (const char* name : {"one", "two"}) {
    EXPECT_EQ(get_xattr(mounted(name), "user.alignfs.mode"),
              "buffered: files like this one are not mapped");
  }
  const Stats stats(mount_->path());
  EXPECT_EQ(stats.gauge("alignfs_mappings"), 0);
  EXPECT_GT(stats.value("alignfs_requests_total", "read", "fallback"), 0);
  EXPECT_EQ(stats.value("alignfs_requests_total", "read", "error"), 0);
}

class TroubleProgram : public MountTest {};

TEST_F(TroubleProgram, AWrongCommandLineIsOneLineAndAnError) {
  const TempDir backing, mountpoint;
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {backing.path()},
      {backing.path(), mountpoint.path(), "more"},
      {"-x", backing.path(), mountpoint.path()},
      {"-o", "bad_pages=", backing.path(), mountpoint.path()},
      {"-o", "bad_pages=1:x", backing.path(), mountpoint.path()},
      {"-o", "delay_ms=-1", backing.path(), mountpoint.path()},
      {"-o", "unknown", backing.path(), mountpoint.path()},
      {backing / "missing", mountpoint.path()},
      {backing.path(), mountpoint / "missing"},
  };
  for (std::vector<std::string> arguments : wrong) {
    arguments.insert(arguments.begin(), trouble_fs_binary());
    const auto outcome = run(arguments, kPatience);
    EXPECT_NE(outcome.status, 0);
    EXPECT_LT(outcome.status, 128) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_FALSE(is_mounted(mountpoint.path()));
  }
}

}  // namespace
}  // namespace alignfs::test
