// The .alignfs directory and the extended attributes: what they say, and to whom.

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <sstream>
#include <string_view>
#include <thread>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"

namespace alignfs::test {
namespace {

/// A file on a backing, and the mounts over it.
class FileAndMount : protected BackingAndMount {
 protected:
  void make_file() {
    backing_ = std::make_unique<Backing>(LoopDisk::Shape{});
    write_file(*backing_ / "file", pattern(16384, 1));
    ASSERT_EQ(chmod((*backing_ / "file").c_str(), 0666), 0);
  }
  void mount(const std::string& options) {
    mount_.reset();
    mount_ = std::make_unique<Mount>(backing_->path(), options);
  }
  std::string control(const std::string& name) const { return *mount_ / (".alignfs/" + name); }
  std::string file() const { return *mount_ / "file"; }
};

/// On a mount that refuses what is not aligned.
class ControlTest : public MountTest, protected FileAndMount {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    make_file();
    mount("allow_other,unaligned=reject");
  }
};

class ControlOfEveryMode : public ModeTest, protected FileAndMount {
 protected:
  void SetUp() override {
    ModeTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    make_file();
    mount(GetParam().with("allow_other"));
  }
};

INSTANTIATE_TEST_SUITE_P(Modes, ControlOfEveryMode, ::testing::ValuesIn(kEveryMode), mode_name);

/// 0 or the errno of a write of `length` bytes at offset 1.
int write_misaligned(const std::string& path, std::size_t length = 100) {
  const Fd fd = open_file(path, O_RDWR | O_DIRECT);
  const std::string bytes(length, 'x');
  return pwrite(fd.get(), bytes.data(), length, 1) >= 0 ? 0 : errno;
}

std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> names;
  DIR* const stream = opendir(path.c_str());
  if (stream == nullptr) return {"errno " + std::to_string(errno)};
  while (const dirent* const entry = readdir(stream)) names.push_back(entry->d_name);
  closedir(stream);
  std::sort(names.begin(), names.end());
  return names;
}

TEST_P(ControlOfEveryMode, DirectoryIsHiddenButThere) {
  EXPECT_EQ(names_in(mount_->path()), (std::vector<std::string>{".", "..", "file"}));
  EXPECT_EQ(names_in(*mount_ / ".alignfs"),
            (std::vector<std::string>{".", "..", "activity", "events", "options", "stats"}));
}

TEST_P(ControlOfEveryMode, ModesAndOwner) {
  struct stat status {};
  ASSERT_EQ(stat((*mount_ / ".alignfs").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, S_IFDIR | 0500u);
  EXPECT_EQ(status.st_uid, getuid());
  for (const char* name : {"events", "stats", "options"}) {
    ASSERT_EQ(stat(control(name).c_str(), &status), 0) << name;
    EXPECT_EQ(status.st_mode, S_IFREG | 0400u) << name;
    EXPECT_EQ(status.st_uid, getuid()) << name;
  }
}

TEST_P(ControlOfEveryMode, OthersAreKeptOut) {
  EXPECT_EQ(as_user(12345, 12345, {},
                    [&] {
                      for (const char* name : {"events", "stats", "options"}) {
                        if (open(control(name).c_str(), O_RDONLY) >= 0 || errno != EACCES) return 1;
                      }
                      return opendir((*mount_ / ".alignfs").c_str()) == nullptr && errno == EACCES
                                 ? 0
                                 : 2;
                    }),
            0);
}

TEST_P(ControlOfEveryMode, NothingInItCanBeChanged) {
  EXPECT_LT(open(control("new").c_str(), O_CREAT | O_WRONLY, 0600), 0);
  EXPECT_NE(mkdir(control("dir").c_str(), 0700), 0);
  EXPECT_NE(unlink(control("stats").c_str()), 0);
  EXPECT_NE(rmdir((*mount_ / ".alignfs").c_str()), 0);
  EXPECT_NE(rename(control("stats").c_str(), (*mount_ / "stolen").c_str()), 0);
  EXPECT_NE(rename((*mount_ / "file").c_str(), control("stats").c_str()), 0);
  EXPECT_NE(link(control("stats").c_str(), (*mount_ / "linked").c_str()), 0);
  EXPECT_LT(open(control("stats").c_str(), O_WRONLY), 0);
  EXPECT_NE(truncate(control("stats").c_str(), 0), 0);
  EXPECT_NE(chmod(control("stats").c_str(), 0666), 0);
  EXPECT_NE(mkdir((*mount_ / ".alignfs").c_str(), 0700), 0);
  EXPECT_NE(setxattr(control("stats").c_str(), "user.a", "b", 1, 0), 0);
  EXPECT_EQ(names_in(*mount_ / ".alignfs").size(), 6u);
}

TEST_F(ControlTest, EventsWithoutNewsGiveEagainOrWait) {
  const Fd fd = open_file(control("events"), O_RDONLY | O_NONBLOCK);
  char bytes[4096];
  EXPECT_EQ(read(fd.get(), bytes, sizeof bytes), -1);
  EXPECT_EQ(errno, EAGAIN);
  pollfd wait{fd.get(), POLLIN, 0};
  EXPECT_EQ(poll(&wait, 1, 0), 0);

  EXPECT_EQ(write_misaligned(file()), EINVAL);
  EXPECT_EQ(poll(&wait, 1, 10'000), 1);
  EXPECT_TRUE((wait.revents & POLLIN) != 0);
  EXPECT_GT(read(fd.get(), bytes, sizeof bytes), 0);
  EXPECT_EQ(poll(&wait, 1, 0), 0) << "read, and so no news any more";
}

TEST_F(ControlTest, PollWakesUpWhenAnEventComes) {
  const Fd fd = open_file(control("events"), O_RDONLY | O_NONBLOCK);
  std::atomic<int> woken{-1};
  std::thread waiter([&] {
    pollfd wait{fd.get(), POLLIN, 0};
    woken = poll(&wait, 1, 30'000);
  });
  EXPECT_EQ(write_misaligned(file()), EINVAL);
  waiter.join();
  EXPECT_EQ(woken, 1);
}

TEST_F(ControlTest, FilesAreReadyWithoutARequestUnlessTheEventsArePolled) {
  const Fd regular = open_file(*mount_ / "file", O_RDWR | O_CREAT);
  const auto is_ready = [](const Fd& fd) {
    pollfd wait{fd.get(), POLLIN | POLLOUT, 0};
    return poll(&wait, 1, 0) == 1 && wait.revents == (POLLIN | POLLOUT);
  };
  const auto has_news = [](const Fd& fd) {
    pollfd wait{fd.get(), POLLIN, 0};
    return poll(&wait, 1, 0) == 1;
  };
  Fd polled = open_file(control("events"), O_RDONLY | O_NONBLOCK);
  EXPECT_FALSE(has_news(polled));
  EXPECT_TRUE(is_ready(regular));
  EXPECT_FALSE(has_news(polled)) << "the kernel still asks";
  // Once nobody polls them the kernel is told not to ask about any file. It sends the release of
  // the events some time after their close, and a look that comes too early polls them itself.
  polled.close();
  Fd late;
  const auto end = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    EXPECT_TRUE(is_ready(regular));
    late = open_file(control("events"), O_RDONLY | O_NONBLOCK);
    if (has_news(late)) break;
    late.close();
    ASSERT_LT(std::chrono::steady_clock::now(), end) << "the kernel asks still";
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  char byte;
  EXPECT_EQ(read(late.get(), &byte, 1), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(ControlTest, BlockingReadWaitsForTheNextEvent) {
  const Fd fd = open_file(control("events"), O_RDONLY);
  EXPECT_EQ(write_misaligned(file()), EINVAL);
  char bytes[4096];
  ASSERT_GT(read(fd.get(), bytes, sizeof bytes), 0);
  std::string second;
  std::thread reader([&] {
    const ssize_t got = read(fd.get(), bytes, sizeof bytes);
    if (got > 0) second.assign(bytes, static_cast<std::size_t>(got));
  });
  EXPECT_EQ(write_misaligned(file(), 200), EINVAL);
  reader.join();
  EXPECT_EQ(nlohmann::json::parse(second)["length"], 200);
}

TEST_F(ControlTest, WaitingReaderCanBeInterrupted) {
  const pid_t child = fork();
  if (child == 0) {
    const int fd = open(control("events").c_str(), O_RDONLY);
    char bytes[4096];
    _exit(read(fd, bytes, sizeof bytes) < 0 ? 1 : 0);
  }
  // The child may not have reached its read yet; a signal kills it either way.
  kill(child, SIGTERM);
  int status = 0;
  ASSERT_TRUE(wait_for_exit(child, kPatience, &status)) << "the reader hangs";
  EXPECT_TRUE(WIFSIGNALED(status));
}

TEST_F(ControlTest, ManyReadersEachSeeEverything) {
  Events first(mount_->path()), second(mount_->path());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(write_misaligned(file()), EINVAL);
  EXPECT_EQ(first.drain().size(), 5u);
  EXPECT_EQ(second.drain().size(), 5u);
  EXPECT_EQ(Events(mount_->path()).drain().size(), 5u) << "what the ring holds, to a new reader";
}

TEST_F(ControlTest, RingKeepsTheNewestEventsOnly) {
  mount("unaligned=reject,events=4");
  Events late(mount_->path());
  for (std::size_t i = 1; i <= 10; ++i) EXPECT_EQ(write_misaligned(file(), i), EINVAL);
  const auto events = late.drain();
  ASSERT_EQ(events.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(events[i]["seq"], 7 + i);
    EXPECT_EQ(events[i]["length"], 7 + i);
  }
}

TEST_F(ControlTest, EventsOfAKindAreMergedBeyondAHundredASecond) {
  constexpr int kCalls = 1000;
  for (int i = 0; i < kCalls; ++i) EXPECT_EQ(write_misaligned(file()), EINVAL);
  std::uint64_t told = 0, lines = 0;
  for (const nlohmann::json& event : Events(mount_->path()).drain()) {
    told += event["repeated"].get<std::uint64_t>();
    ++lines;
  }
  EXPECT_EQ(told, kCalls) << "every refusal is counted";
  EXPECT_GE(lines, 100u);
  EXPECT_LE(lines, 1000u);
  std::istringstream log(mount_->log());
  unsigned logged = 0;
  for (std::string line; std::getline(log, line);) {
    logged += line.find("EINVAL") != std::string::npos;
  }
  EXPECT_LT(logged, 100u) << "the log tells one of a kind a second";
  EXPECT_GE(logged, 1u);
}

TEST_F(ControlTest, StatsArePrometheusText) {
  EXPECT_EQ(write_misaligned(file()), EINVAL);
  AlignedBuffer buffer(8192);
  {
    const Fd fd = open_file(file(), O_RDWR | O_DIRECT);
    ASSERT_EQ(pwrite(fd.get(), buffer.data(), 8192, 0), 8192);
    ASSERT_EQ(pread(fd.get(), buffer.data(), 4096, 0), 4096);
  }
  const Stats stats(mount_->path());
  EXPECT_EQ(stats.value("alignfs_requests_total", "write", "ok"), 1);
  EXPECT_EQ(stats.value("alignfs_requests_total", "write", "rejected"), 1);
  EXPECT_EQ(stats.value("alignfs_bytes_total", "write", "ok"), 8192);
  EXPECT_EQ(stats.value("alignfs_backing_write_bytes_total", "write", "ok"), 8192);
  EXPECT_EQ(stats.value("alignfs_requests_total", "read", "ok"), 1);
  EXPECT_EQ(stats.value("alignfs_bytes_total", "read", "ok"), 4096);
  EXPECT_EQ(stats.value("alignfs_backing_read_bytes_total", "read", "ok"), 4096);
  std::istringstream text(read_file(control("stats")));
  std::string described;
  for (std::string line; std::getline(text, line);) {
    if (line.starts_with("# TYPE ")) described += line.substr(7) + "\n";
    if (line.starts_with("#") || line.empty()) continue;
    auto name = line.substr(0, line.find_first_of("{ "));
    for (const std::string_view part : {"_bucket", "_sum", "_count"}) {
      if (name.starts_with("alignfs_request_seconds") && name.ends_with(part)) {
        name.resize(name.size() - part.size());
      }
    }
    EXPECT_NE(described.find(name + " "), std::string::npos) << "no TYPE line before " << line;
  }
}

TEST_F(ControlTest, OptionsTellWhatIsInForce) {
  mount("unaligned=reject,align=8192,mem_align=1024,enforce=odirect,events=77");
  std::istringstream text(read_file(control("options")));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  for (const char* wanted : {"unaligned=reject", "align=8192", "mem_align=1024", "enforce=odirect",
                             "events=77", "mode=direct"}) {
    EXPECT_TRUE(std::any_of(lines.begin(), lines.end(),
                            [&](const std::string& line) {
                              return line == wanted || line.starts_with(std::string(wanted) + " ");
                            }))
        << wanted << " not in\n"
        << text.str();
  }
  for (const std::string& line : lines) EXPECT_NE(line.find('='), std::string::npos) << line;
  EXPECT_NE(text.str().find("source="), std::string::npos);
}

TEST_F(ControlTest, AttributesTellGeometryAndMode) {
  const auto alignment = [&] { return get_xattr(file(), "user.alignfs.alignment").value_or(""); };
  EXPECT_TRUE(alignment().starts_with("mem=512 offset=4096 read_offset=4096 source=statx"))
      << alignment();
  EXPECT_EQ(get_xattr(file(), "user.alignfs.mode").value_or("").substr(0, 6), "direct");
  mount("align=8192");
  EXPECT_TRUE(alignment().starts_with("mem=512 offset=8192 read_offset=8192 source=option"))
      << alignment();
}

TEST_F(ControlTest, LastErrorIsThereOnceThereIsOne) {
  EXPECT_EQ(get_xattr(file(), "user.alignfs.last_error"), std::nullopt);
  EXPECT_EQ(errno, ENODATA);
  EXPECT_EQ(write_misaligned(file()), EINVAL);
  const std::string text = last_error(file());
  EXPECT_NE(text.find("EINVAL: pwrite"), std::string::npos) << text;
  EXPECT_NE(text.find("/file"), std::string::npos) << text;
  EXPECT_NE(text.find("offset  1 is 1 past a 4096-byte boundary"), std::string::npos) << text;
  EXPECT_NE(text.find("length  100 is 3996 short of a multiple of 4096"), std::string::npos)
      << text;
  // A buffer that is too small is told so, as of any attribute.
  char small[4];
  EXPECT_EQ(getxattr(file().c_str(), "user.alignfs.last_error", small, sizeof small), -1);
  EXPECT_EQ(errno, ERANGE);
}

TEST_F(ControlTest, AttributesAreLeftOutOfListsAndCannotBeSet) {
  EXPECT_EQ(write_misaligned(file()), EINVAL);
  ASSERT_EQ(setxattr(file().c_str(), "user.own", "x", 1, 0), 0);
  char list[4096];
  const ssize_t length = listxattr(file().c_str(), list, sizeof list);
  EXPECT_EQ(std::string(list, static_cast<std::size_t>(length)), std::string("user.own\0", 9));
  for (const char* name :
       {"user.alignfs.alignment", "user.alignfs.last_error", "user.alignfs.mode"}) {
    EXPECT_NE(setxattr(file().c_str(), name, "x", 1, 0), 0) << name;
    EXPECT_NE(removexattr(file().c_str(), name), 0) << name;
  }
}

TEST_F(ControlTest, LastErrorIsOnesOwn) {
  EXPECT_EQ(as_user(12345, 12345, {}, [&] { return write_misaligned(file(), 111); }), EINVAL);
  const auto read_as = [&](uid_t uid) {
    return as_user(uid, uid, {}, [&] {
      const std::string text = last_error(file());
      if (text.empty()) return errno;
      return text.find(" 111 bytes") != std::string::npos ? 0 : 1;
    });
  };
  EXPECT_EQ(read_as(12345), 0);
  EXPECT_EQ(read_as(12346), ENODATA);
  EXPECT_NE(last_error(file()).find(" 111 bytes"), std::string::npos) << "the owner sees all";
  EXPECT_EQ(write_misaligned(file(), 222), EINVAL);
  EXPECT_EQ(read_as(12345), 0) << "still its own";
}

TEST_F(ControlTest, ControlOffHidesEverything) {
  mount("unaligned=reject,control=off");
  EXPECT_NE(access((*mount_ / ".alignfs").c_str(), F_OK), 0);
  EXPECT_EQ(errno, ENOENT);
  EXPECT_EQ(write_misaligned(file()), EINVAL);
  for (const char* name : {"last_error", "mode", "alignment"}) {
    EXPECT_EQ(get_xattr(file(), std::string("user.alignfs.") + name), std::nullopt);
    EXPECT_EQ(errno, ENODATA);
  }
}

TEST_F(ControlTest, SourceWithADirectoryOfThatNameNeedsControlOff) {
  mount_.reset();
  ASSERT_EQ(mkdir((*backing_ / ".alignfs").c_str(), 0755), 0);
  write_file(*backing_ / ".alignfs/own", "own");
  TempDir mountpoint;
  const Outcome refused = run({alignfs_binary(), backing_->path(), mountpoint.path()});
  EXPECT_EQ(refused.status, 1);
  EXPECT_NE(refused.err.find("control=off"), std::string::npos) << refused.err;
  EXPECT_FALSE(is_mounted(mountpoint.path()));
  mount("control=off");
  EXPECT_EQ(read_file(*mount_ / ".alignfs/own"), "own");
  EXPECT_EQ(names_in(mount_->path()), (std::vector<std::string>{".", "..", ".alignfs", "file"}));
}

TEST_F(ControlTest, FallbackIsNeverSilent) {
  const TmpfsDir tmpfs;
  const Mount mount(tmpfs.path());
  Events events(mount.path());
  write_file(mount / "file", "x");
  const auto event = events.wait_for([](const auto& one) { return one["action"] == "fallback"; });
  ASSERT_TRUE(event.has_value());
  EXPECT_NE(mount.log().find("O_DIRECT"), std::string::npos) << mount.log();
  EXPECT_NE(get_xattr(mount / "file", "user.alignfs.alignment").value_or("").find("fallback"),
            std::string::npos);
  TempDir mountpoint;
  const Outcome refused =
      run({alignfs_binary(), "-o", "require_direct", tmpfs.path(), mountpoint.path()});
  EXPECT_EQ(refused.status, 1);
  EXPECT_NE(refused.err.find("require_direct"), std::string::npos) << refused.err;
}

TEST_P(ControlOfEveryMode, StatsCountTheTimeOfEveryRequest) {
  {
    const Fd fd = open_file(file(), O_RDONLY);
    const AlignedBuffer buffer(4096);
    ASSERT_EQ(pread(fd.get(), buffer.data(), 4096, 0), 4096);
  }
  struct stat status {};
  ASSERT_EQ(stat(file().c_str(), &status), 0);
  // Nobody waits for a release, close(2) neither.
  ASSERT_TRUE(eventually(
      [&] { return Stats(mount_->path()).sum("alignfs_requests_total", "release") > 0; }));
  const Stats stats(mount_->path());
  for (const char* operation : {"read", "open", "lookup", "getattr", "release"}) {
    if (GetParam().passthrough && std::string_view(operation) == "read") continue;
    const double requests = stats.sum("alignfs_requests_total", operation);
    EXPECT_GT(requests, 0) << operation;
    EXPECT_EQ(stats.sum("alignfs_request_seconds_count", operation), requests) << operation;
    EXPECT_GT(stats.sum("alignfs_request_seconds_sum", operation), 0) << operation;
  }
}

}  // namespace
}  // namespace alignfs::test
