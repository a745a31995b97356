// A mount made by a plain user through fusermount3, without any right of root.

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"
#include "mount/support/random_program.h"
#include "mount/support/trouble.h"

namespace alignfs::test {
namespace {

constexpr uid_t kUser = 12345;

/// Makes /dev/fuse usable by everybody and gives the user a name, which fusermount3 asks for: in
/// the mount namespace of this process alone.
class UserEnvironment {
 public:
  UserEnvironment() {
    const std::string node = directory_.path() + "/fuse";
    const std::string passwords = directory_.path() + "/passwd";
    write_file(passwords, read_file("/etc/passwd") + "alignfs-test:x:" + std::to_string(kUser) +
                              ":" + std::to_string(kUser) + "::/:/bin/sh\n");
    if (mknod(node.c_str(), S_IFCHR | 0666, makedev(10, 229)) != 0 ||
        chmod(node.c_str(), 0666) != 0) {
      throw std::system_error(errno, std::generic_category(), "mknod " + node);
    }
    bind(node, "/dev/fuse");
    bind(passwords, "/etc/passwd");
  }
  ~UserEnvironment() {
    for (const std::string& target : bound_) umount2(target.c_str(), MNT_DETACH);
  }
  UserEnvironment(const UserEnvironment&) = delete;
  UserEnvironment& operator=(const UserEnvironment&) = delete;

 private:
  void bind(const std::string& from, const std::string& to) {
    if (mount(from.c_str(), to.c_str(), nullptr, MS_BIND, nullptr) != 0) {
      throw std::system_error(errno, std::generic_category(), "bind " + to);
    }
    bound_.push_back(to);
  }

  TmpfsDir directory_{"size=1m"};
  std::vector<std::string> bound_;
};

class UserMount : public MountTest {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    environment_ = std::make_unique<UserEnvironment>();
    source_ = std::make_unique<TempDir>();
    mountpoint_ = std::make_unique<TempDir>();
    for (const TempDir* directory : {source_.get(), mountpoint_.get()}) {
      ASSERT_EQ(chown(directory->path().c_str(), kUser, kUser), 0);
    }
  }
  void TearDown() override {
    if (mountpoint_ && is_mounted(mountpoint_->path())) unmount(mountpoint_->path());
  }

  /// Runs `body` as the user, on a mount that the user made; 0 if all went well. The mount is
  /// taken down with fusermount3 by the user, too.
  int on_mount(const std::string& options, const std::function<int()>& body,
               const std::string& other_source = "") const {
    return as_user(kUser, kUser, {}, [&] {
      std::vector<std::string> command = {alignfs_binary()};
      if (!options.empty()) command.insert(command.end(), {"-o", options});
      command.insert(command.end(),
                     {other_source.empty() ? source_->path() : other_source, mountpoint_->path()});
      const Outcome mounted = run(command);
      if (mounted.status != 0) {
        dprintf(STDERR_FILENO, "alignfs as a user: %s", mounted.err.c_str());
        return 100;
      }
      const int result = body();
      const Outcome unmounted = run({"fusermount3", "-u", mountpoint_->path()});
      return unmounted.status != 0 ? 101 : result;
    });
  }
  std::string mounted(const std::string& name) const { return *mountpoint_ / name; }

  std::unique_ptr<UserEnvironment> environment_;
  std::unique_ptr<TempDir> source_, mountpoint_;
};

/// Passthrough is root's alone: a plain user's mount that asks for it serves every request itself.
class UserMountMode : public UserMount, public ::testing::WithParamInterface<Mode> {};

INSTANTIATE_TEST_SUITE_P(Modes, UserMountMode, ::testing::ValuesIn(kLenientModes), mode_name);

TEST_P(UserMountMode, ReadsAndWritesWork) {
  EXPECT_EQ(on_mount(GetParam().options,
                     [&] {
                       write_file(mounted("file"), pattern(10'000, 1));
                       const Fd fd = open_file(mounted("file"), O_RDWR);
                       if (pwrite(fd.get(), "unaligned", 9, 4090) != 9) return errno;
                       std::string expected = pattern(10'000, 1);
                       expected.replace(4090, 9, "unaligned");
                       if (!same_bytes(read_file(mounted("file")), expected)) return 1;
                       if (!same_bytes(read_file(*source_ / "file"), expected)) return 2;
                       if (mkdir(mounted("dir").c_str(), 0755) != 0) return errno;
                       if (rename(mounted("file").c_str(), mounted("dir/file").c_str()) != 0)
                         return errno;
                       if (symlink("dir", mounted("link").c_str()) != 0) return errno;
                       return unlink(mounted("link/file").c_str()) != 0 ? errno : 0;
                     }),
            0);
  struct stat status {};
  ASSERT_EQ(stat((*source_ / "dir").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, kUser);
  EXPECT_FALSE(is_mounted(mountpoint_->path()));
}

TEST_F(UserMount, RefusalsAreExplained) {
  EXPECT_EQ(on_mount("unaligned=reject,align=4096",
                     [&] {
                       write_file(*source_ / "file", pattern(8192, 1));
                       const Fd fd = open_file(mounted("file"), O_RDWR | O_DIRECT);
                       if (pwrite(fd.get(), "x", 1, 10) >= 0 || errno != EINVAL) return 1;
                       const std::string text = last_error(mounted("file"));
                       if (text.find("10 past a 4096-byte boundary") == std::string::npos) return 2;
                       const auto events = Events(mountpoint_->path()).drain();
                       if (events.empty() || events.back()["uid"] != kUser) return 3;
                       // Whether the caller's buffer can be seen depends on the right to trace it.
                       // It is shown, or the reason why not is.
                       const nlohmann::json& event = events.back();
                       if (event["buffer"].is_null() !=
                           event.value("unseen", nlohmann::json()).is_string()) {
                         return 4;
                       }
                       return event["offset"] == 10 && event["length"] == 1 ? 0 : 5;
                     }),
            0);
}

TEST_P(UserMountMode, FileThatMayOnlyBeWrittenTakesUnalignedWrites) {
  EXPECT_EQ(on_mount(GetParam().options,
                     [&] {
                       write_file(*source_ / "file", pattern(10'000, 2));
                       if (chmod((*source_ / "file").c_str(), 0200) != 0) return errno;
                       const Fd fd = open_file(mounted("file"), O_WRONLY);
                       if (pwrite(fd.get(), "in the middle", 13, 4090) != 13) return errno;
                       return pwrite(fd.get(), "beyond", 6, 10'003) == 6 ? 0 : errno;
                     }),
            0);
  std::string expected = pattern(10'000, 2);
  expected.replace(4090, 13, "in the middle");
  expected += std::string(3, '\0') + "beyond";
  EXPECT_TRUE(same_bytes(read_file(*source_ / "file"), expected));
}

/// The backing ends the bits by itself; the daemon may not, and need not.
TEST_P(UserMountMode, SetgidFilesOfOthersCanBeWrittenAndCut) {
  for (const char* name : {"written", "cut"}) {
    write_file(*source_ / name, "somebody else's");
    ASSERT_EQ(chown((*source_ / name).c_str(), 0, kUser), 0);
    ASSERT_EQ(chmod((*source_ / name).c_str(), 06775), 0);
  }
  EXPECT_EQ(on_mount(GetParam().options,
                     [&] {
                       const Fd written = open_file(mounted("written"), O_WRONLY);
                       if (pwrite(written.get(), "SOME", 4, 0) != 4) return errno;
                       const Fd cut(open(mounted("cut").c_str(), O_WRONLY | O_TRUNC));
                       if (!cut) return errno;
                       return write(cut.get(), "new", 3) == 3 ? 0 : errno;
                     }),
            0);
  EXPECT_EQ(read_file(*source_ / "written"), "SOMEbody else's");
  EXPECT_EQ(read_file(*source_ / "cut"), "new");
  for (const char* name : {"written", "cut"}) {
    struct stat status {};
    ASSERT_EQ(stat((*source_ / name).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0775U) << name;
  }
}

TEST_P(UserMountMode, AppendOnlyFileThatMayOnlyBeWrittenTakesAppends) {
  write_file(*source_ / "log", "first ");
  ASSERT_EQ(chown((*source_ / "log").c_str(), kUser, kUser), 0);
  ASSERT_EQ(chmod((*source_ / "log").c_str(), 0200), 0);
  ASSERT_EQ(set_file_flags(*source_ / "log", FS_APPEND_FL), 0);
  const int result = on_mount(GetParam().options, [&] {
    const Fd fd(open(mounted("log").c_str(), O_WRONLY | O_APPEND));
    if (!fd) return errno;
    return write(fd.get(), "second", 6) == 6 ? 0 : errno;
  });
  ASSERT_EQ(set_file_flags(*source_ / "log", 0), 0);
  EXPECT_EQ(result, 0);
  EXPECT_EQ(read_file(*source_ / "log"), "first second");
}

/// The page cache of the mount takes a short answer for the end of the file.
TEST_F(UserMount, AMapOfAFileWithABadPageShowsTheOthers) {
  constexpr std::size_t kPage = 4096, kPages = 10, kBad = 5;
  const auto content = pattern(kPages * kPage, 6);
  write_file(*source_ / "file", content);
  const TroubleFs trouble(source_->path(), "bad_pages=" + std::to_string(kBad));
  for (const char* mode : {"mode=mapped", "mode=buffered"}) {
    EXPECT_EQ(on_mount(
                  mode,
                  [&] {
                    const Fd fd = open_file(mounted("file"), O_RDONLY);
                    void* const map =
                        mmap(nullptr, kPages * kPage, PROT_READ, MAP_SHARED, fd.get(), 0);
                    if (map == MAP_FAILED) return errno;
                    const auto* bytes = static_cast<const volatile char*>(map);
                    int wrong = 0;
                    for (std::size_t page = 0; page < kPages; ++page) {
                      if (page != kBad && bytes[page * kPage] != content[page * kPage]) ++wrong;
                      if (size_of(mounted("file")) != std::int64_t(kPages * kPage)) ++wrong;
                    }
                    munmap(map, kPages * kPage);
                    return wrong;
                  },
                  trouble.path()),
              0)
        << mode;
  }
}

TEST_P(UserMountMode, MapsWork) {
  EXPECT_EQ(on_mount(GetParam().options,
                     [&] {
                       write_file(mounted("text"), "a text");
                       return run({"/usr/bin/python3", "-c",
                                   "import mmap, sys\n"
                                   "with open(sys.argv[1], 'r+b') as f:\n"
                                   "  with mmap.mmap(f.fileno(), 0) as m:\n"
                                   "    m[0:1] = b'A'\n"
                                   "    m.flush()\n",
                                   mounted("text")})
                           .status;
                     }),
            0);
  EXPECT_EQ(read_file(*source_ / "text"), "A text");
}

/// Maps go through the page cache of the mount here, where root's are maps of the backing.
TEST_P(UserMountMode, RandomOperationsAgreeWithAModelOfTheBytes) {
  EXPECT_EQ(on_mount(GetParam().options,
                     [&] {
                       const Mode served{GetParam().name, GetParam().options};
                       const std::string complaint =
                           run_random_programs(mountpoint_->path(), source_->path(), served,
                                               {.maps_of_backing = false});
                       dprintf(STDERR_FILENO, "%s", complaint.c_str());
                       return complaint.empty() ? 0 : 1;
                     }),
            0);
}

TEST_F(UserMount, PassthroughThatCannotBeHadIsSaid) {
  const std::string log = *source_ / "log";
  EXPECT_EQ(on_mount("mode=mapped,passthrough,log_file=" + log,
                     [&] {
                       write_file(mounted("file"), "served by the daemon");
                       if (read_file(mounted("file")) != "served by the daemon") return 1;
                       if (get_xattr(mounted("file"), "user.alignfs.mode") != "mapped") return 2;
                       const std::string options = read_file(mounted(".alignfs/options"));
                       if (options.find("passthrough.effective=off") == std::string::npos) return 3;
                       const auto events = Events(mountpoint_->path()).drain();
                       return events.size() == 1 && events[0]["action"] == "fallback" ? 0 : 4;
                     }),
            0);
  const std::string text = read_file(log);
  EXPECT_NE(text.find("passthrough is not to be had (it takes root)"), std::string::npos) << text;
}

TEST_F(UserMount, RootOfTheMountIsClosedToOthers) {
  EXPECT_EQ(on_mount("",
                     [&] {
                       write_file(mounted("file"), "x");
                       return 0;
                     }),
            0);
  EXPECT_EQ(on_mount("allow_other", [] { return 0; }), 100)
      << "user_allow_other is not set in /etc/fuse.conf, so this must fail";
  EXPECT_FALSE(is_mounted(mountpoint_->path()));
}

}  // namespace
}  // namespace alignfs::test
