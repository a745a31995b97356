// What the mount shows of its backing: numbers, names, changes from outside, many entries.

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <set>
#include <thread>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"

namespace alignfs::test {
namespace {

class Visibility : public ModeTest, protected BackingAndMount {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    backing_ = std::make_unique<Backing>(LoopDisk::Shape{});
    mount_ = std::make_unique<Mount>(backing_->path(), GetParam().with("allow_other"));
  }
};

// Not where requests are refused: most files here are small and made by plain writes.
INSTANTIATE_TEST_SUITE_P(Modes, Visibility, ::testing::ValuesIn(kLenientModes), mode_name);

struct stat status_of(const std::string& path) {
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) {
    throw std::system_error(errno, std::generic_category(), "stat " + path);
  }
  return status;
}

/// True once `condition` holds; false if it does not within the second for which the kernel may
/// trust what it knows, with a margin for a slow machine.
bool soon(const std::function<bool()>& condition) {
  return eventually(condition, std::chrono::seconds(5));
}

TEST_P(Visibility, InodeNumbersAreTheBackings) {
  write_file(backing("file"), "x");
  ASSERT_EQ(mkdir(backing("dir").c_str(), 0755), 0);
  ASSERT_EQ(symlink("file", backing("link").c_str()), 0);
  for (const char* name : {"file", "dir", "link"}) {
    EXPECT_EQ(status_of(mounted(name)).st_ino, status_of(backing(name)).st_ino) << name;
  }
  EXPECT_EQ(status_of(mount_->path()).st_ino, status_of(backing_->path()).st_ino);
  write_file(mounted("new"), "y");
  EXPECT_EQ(status_of(mounted("new")).st_ino, status_of(backing("new")).st_ino);
}

TEST_P(Visibility, HardLinksAreOneInode) {
  write_file(mounted("one"), "first");
  ASSERT_EQ(link(mounted("one").c_str(), mounted("two").c_str()), 0);
  EXPECT_EQ(status_of(mounted("two")).st_nlink, 2u);
  ASSERT_EQ(link(backing("one").c_str(), backing("three").c_str()), 0);
  const Fd one = open_file(mounted("one"), O_RDWR);
  ASSERT_EQ(pwrite(one.get(), "FIRST", 5, 0), 5);
  EXPECT_EQ(read_file(mounted("two")), "FIRST");
  EXPECT_EQ(read_file(mounted("three")), "FIRST");
  EXPECT_EQ(status_of(mounted("one")).st_ino, status_of(mounted("three")).st_ino);
  EXPECT_TRUE(soon([&] { return status_of(mounted("one")).st_nlink == 3; }));
  // One inode also to locks, which the kernel keeps by inode.
  const Fd three = open_file(mounted("three"), O_RDWR);
  ASSERT_EQ(flock(one.get(), LOCK_EX), 0);
  EXPECT_EQ(flock(three.get(), LOCK_EX | LOCK_NB), -1);
}

TEST_P(Visibility, ChangesFromOutsideAreSeen) {
  write_file(backing("file"), "before");
  EXPECT_EQ(read_file(mounted("file")), "before");
  EXPECT_EQ(status_of(mounted("file")).st_size, 6);
  write_file(backing("file"), "afterwards");
  EXPECT_EQ(read_file(mounted("file")), "afterwards") << "content is never cached";
  EXPECT_TRUE(soon([&] { return status_of(mounted("file")).st_size == 10; }));
  ASSERT_EQ(chmod(backing("file").c_str(), 0604), 0);
  EXPECT_TRUE(soon([&] { return (status_of(mounted("file")).st_mode & 07777) == 0604; }));
}

TEST_P(Visibility, NamesMadeAndRemovedOutsideAreSeen) {
  EXPECT_NE(access(mounted("new").c_str(), F_OK), 0);
  write_file(backing("new"), "x");
  EXPECT_TRUE(soon([&] { return access(mounted("new").c_str(), F_OK) == 0; }));
  ASSERT_EQ(rename(backing("new").c_str(), backing("renamed").c_str()), 0);
  EXPECT_TRUE(soon([&] { return access(mounted("new").c_str(), F_OK) != 0; }));
  EXPECT_EQ(read_file(mounted("renamed")), "x");
  ASSERT_EQ(unlink(backing("renamed").c_str()), 0);
  EXPECT_TRUE(soon([&] { return access(mounted("renamed").c_str(), F_OK) != 0; }));
}

TEST_P(Visibility, FileReplacedOutsideIsTheNewOne) {
  write_file(backing("file"), "old");
  const Fd old = open_file(mounted("file"), O_RDONLY);
  write_file(backing("other"), "new content");
  ASSERT_EQ(rename(backing("other").c_str(), backing("file").c_str()), 0);
  EXPECT_TRUE(soon([&] { return read_file(mounted("file")) == "new content"; }));
  char bytes[16];
  EXPECT_EQ(pread(old.get(), bytes, sizeof bytes, 0), 3) << "the open file is still the old one";
}

/// A reused inode number is another file.
TEST_P(Visibility, FileRemadeOutsideUnderTheSameNumberIsTheNewOne) {
  for (int i = 0; i < 20; ++i) {
    const std::string name = "file" + std::to_string(i);
    const std::string content = "content " + std::to_string(i);
    write_file(backing(name), content);
    EXPECT_EQ(read_file(mounted(name)), content);
    ASSERT_EQ(unlink(backing(name).c_str()), 0);
  }
}

class Directory {
 public:
  explicit Directory(const std::string& path) : stream_(opendir(path.c_str())) {
    if (stream_ == nullptr) throw std::system_error(errno, std::generic_category(), path);
  }
  ~Directory() { closedir(stream_); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  const dirent* next() const { return readdir(stream_); }
  long tell() const { return telldir(stream_); }
  void seek(long position) const { seekdir(stream_, position); }

 private:
  DIR* stream_;
};

TEST_P(Visibility, HundredThousandEntriesWithStablePositions) {
  constexpr unsigned kEntries = 100'000;
  ASSERT_EQ(mkdir(backing("many").c_str(), 0755), 0);
  ASSERT_EQ(mkdir(backing("target").c_str(), 0755), 0);
  // Links to one file: the disk need not hold so many inodes.
  write_file(backing("target/0"), "");
  std::string target = backing("target/0");
  for (unsigned i = 0; i < kEntries; ++i) {
    if (i % 60'000 == 59'999) {
      target = backing("target/" + std::to_string(i));
      write_file(target, "");
    }
    const std::string name = backing("many/entry-" + std::to_string(i));
    ASSERT_EQ(link(target.c_str(), name.c_str()), 0) << "errno " << errno;
  }
  const Directory directory(mounted("many"));
  std::set<std::string> seen;
  std::map<std::string, long> positions;  // where the entry after this name begins
  unsigned count = 0;
  while (const dirent* const entry = directory.next()) {
    if (entry->d_name[0] == '.') continue;
    EXPECT_TRUE(seen.insert(entry->d_name).second) << entry->d_name << " came twice";
    if (++count % 997 == 0) positions[entry->d_name] = directory.tell();
  }
  EXPECT_EQ(seen.size(), kEntries);
  for (const auto& [name, position] : positions) {
    directory.seek(position);
    const dirent* const first = directory.next();
    ASSERT_NE(first, nullptr) << "after " << name;
    const std::string after = first->d_name;
    directory.seek(position);
    const dirent* const again = directory.next();
    ASSERT_NE(again, nullptr);
    EXPECT_EQ(again->d_name, after);
    EXPECT_NE(after, name);
  }
}

TEST_P(Visibility, PositionsSurviveRemovalsAndAnswerOnOtherHandles) {
  ASSERT_EQ(mkdir(backing("dir").c_str(), 0755), 0);
  for (int i = 0; i < 500; ++i) write_file(backing("dir/f" + std::to_string(i)), "");
  std::vector<std::string> order;
  long middle = 0;
  const Directory first(mounted("dir"));
  while (const dirent* const entry = first.next()) {
    order.push_back(entry->d_name);
    if (order.size() == 250) middle = first.tell();
  }
  ASSERT_EQ(order.size(), 502u);
  for (std::size_t i = 0; i < 250; ++i) unlink(mounted("dir/" + order[i]).c_str());
  const Directory second(mounted("dir"));
  second.seek(middle);
  for (std::size_t i = 250; i < order.size(); ++i) {
    const dirent* const entry = second.next();
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->d_name, order[i]);
  }
  EXPECT_EQ(second.next(), nullptr);
}

TEST_P(Visibility, ListingCarriesTypesAndNumbers) {
  write_file(backing("file"), "");
  ASSERT_EQ(mkdir(backing("dir").c_str(), 0755), 0);
  ASSERT_EQ(symlink("x", backing("link").c_str()), 0);
  ASSERT_EQ(mkfifo(backing("fifo").c_str(), 0644), 0);
  std::map<std::string, std::pair<int, ino_t>> found;
  const Directory directory(mount_->path());
  while (const dirent* const entry = directory.next()) {
    found[entry->d_name] = {entry->d_type, entry->d_ino};
  }
  const std::map<std::string, int> types = {
      {"file", DT_REG}, {"dir", DT_DIR}, {"link", DT_LNK}, {"fifo", DT_FIFO}};
  for (const auto& [name, type] : types) {
    ASSERT_TRUE(found.contains(name)) << name;
    EXPECT_EQ(found[name].first, type) << name;
    EXPECT_EQ(found[name].second, status_of(backing(name)).st_ino) << name;
  }
}

TEST_P(Visibility, WhatAUserMakesBelongsToThatUser) {
  ASSERT_EQ(chmod(mount_->path().c_str(), 0777), 0);  // so that the kernel knows at once
  ASSERT_EQ(mkdir(backing("group").c_str(), 0770), 0);
  ASSERT_EQ(chown(backing("group").c_str(), 0, 777), 0);
  ASSERT_EQ(chmod(backing("group").c_str(), 0770), 0);  // the umask has taken the group's w
  EXPECT_EQ(as_user(12345, 12346, {777},
                    [&] {
                      open_file(mounted("file"), O_CREAT | O_WRONLY, 0644);
                      open_file(mounted("group/file"), O_CREAT | O_WRONLY, 0640);
                      if (mkdir(mounted("dir").c_str(), 0755) != 0) return errno;
                      if (symlink("x", mounted("link").c_str()) != 0) return errno;
                      return mkfifo(mounted("fifo").c_str(), 0600) != 0 ? errno : 0;
                    }),
            0);
  for (const char* name : {"file", "group/file", "dir", "link", "fifo"}) {
    EXPECT_EQ(status_of(backing(name)).st_uid, 12345u) << name;
    EXPECT_EQ(status_of(backing(name)).st_gid, 12346u) << name;
  }
  EXPECT_EQ(
      as_user(12345, 12346, {}, [&] { return open_file(mounted("group/file"), O_RDONLY) ? 0 : 1; }),
      EACCES)
      << "without the supplementary group";
}

TEST_P(Visibility, SetgidDirectoryGivesItsGroup) {
  ASSERT_EQ(mkdir(backing("dir").c_str(), 0777), 0);
  ASSERT_EQ(chown(backing("dir").c_str(), 0, 777), 0);
  ASSERT_EQ(chmod(backing("dir").c_str(), 02777), 0);
  EXPECT_EQ(as_user(12345, 12346, {},
                    [&] {
                      open_file(mounted("dir/file"), O_CREAT | O_WRONLY, 0644);
                      return mkdir(mounted("dir/sub").c_str(), 0755) != 0 ? errno : 0;
                    }),
            0);
  EXPECT_EQ(status_of(backing("dir/file")).st_gid, 777u);
  EXPECT_EQ(status_of(backing("dir/sub")).st_gid, 777u);
  EXPECT_EQ(status_of(backing("dir/sub")).st_mode & 07777, 02755u);
}

TEST_P(Visibility, SetuidBitGoesWhenSomebodyElseWrites) {
  write_file(backing("program"), pattern(8192, 1));
  ASSERT_EQ(chmod(backing("program").c_str(), 04777), 0);
  EXPECT_EQ(as_user(12345, 12345, {},
                    [&] {
                      const Fd fd = open_file(mounted("program"), O_WRONLY);
                      return pwrite(fd.get(), "x", 1, 0) == 1 ? 0 : errno;
                    }),
            0);
  EXPECT_EQ(status_of(backing("program")).st_mode & 07777, 0777u);
}

TEST_P(Visibility, BlocksAndSpaceAreTheBackings) {
  write_file(mounted("file"), pattern(100'000, 1));
  EXPECT_EQ(status_of(mounted("file")).st_blocks, status_of(backing("file")).st_blocks);
  struct statvfs ours {
  }, theirs{};
  ASSERT_EQ(statvfs(mount_->path().c_str(), &ours), 0);
  ASSERT_EQ(statvfs(backing_->path().c_str(), &theirs), 0);
  EXPECT_EQ(ours.f_blocks, theirs.f_blocks);
  EXPECT_EQ(ours.f_files, theirs.f_files);
}

TEST_P(Visibility, LinksOutOfTheSourceLeadNowhereElse) {
  TempDir outside;
  write_file(outside / "secret", "secret");
  ASSERT_EQ(symlink((outside / "secret").c_str(), backing("link").c_str()), 0);
  // The program's own kernel follows the link, on the program's own side.
  EXPECT_EQ(read_file(mounted("link")), "secret");
  EXPECT_EQ(status_of(mounted("..")).st_ino, status_of(mount_->path() + "/..").st_ino);
  // Were the daemon to follow it, the size would be the secret's.
  EXPECT_TRUE(S_ISLNK(status_of(mounted("link")).st_mode));
  ASSERT_EQ(mkdir(backing("dir").c_str(), 0755), 0);
  const Fd directory = open_file(mounted("dir"), O_RDONLY | O_DIRECTORY);
  // The directory becomes a link to the outside while the kernel still trusts its name.
  ASSERT_EQ(rename(backing("dir").c_str(), backing("moved").c_str()), 0);
  ASSERT_EQ(symlink(outside.path().c_str(), backing("dir").c_str()), 0);
  EXPECT_EQ(openat(directory.get(), "secret", O_RDONLY | O_CLOEXEC), -1);
  EXPECT_EQ(errno, ENOENT);
}

}  // namespace
}  // namespace alignfs::test
