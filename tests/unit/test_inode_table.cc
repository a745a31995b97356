#include "alignfs/file/inode_table.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "scratch_folder.h"

namespace alignfs {
namespace {

class InodeTableTest : public testing::Test {
 protected:
  InodeTableTest() {
    UniqueFd source(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    table_ = *InodeTable::create(std::move(source), 16);
  }

  void make(const std::string& name) { std::ofstream(path_ + "/" + name) << name; }
  Result<Inode*> look_up(const char* name) {
    return table_->look_up(table_->root(), name, &attributes_);
  }

  const ScratchFolder scratch_;
  const std::string path_ = scratch_.path();
  std::unique_ptr<InodeTable> table_;
  struct stat attributes_ {};
};

TEST_F(InodeTableTest, HardLinksAreOneInode) {
  make("one");
  ASSERT_EQ(::link((path_ + "/one").c_str(), (path_ + "/two").c_str()), 0);
  const auto one = look_up("one");
  const auto two = look_up("two");
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(*one, *two);
  EXPECT_EQ((*one)->id().inode, attributes_.st_ino);
}

TEST_F(InodeTableTest, IsForgottenAfterAsManyLookups) {
  make("file");
  const auto first = look_up("file");
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(look_up("file").ok());
  table_->count_lookup(**first);
  const auto with_file = table_->size();
  table_->forget(**first, 2);
  EXPECT_EQ(table_->size(), with_file);
  table_->forget(**first, 1);
  EXPECT_EQ(table_->size(), with_file - 1);
}

TEST_F(InodeTableTest, NothingOutsideIsReached) {
  for (const char* name : {"..", ".", "a/b", "/etc"}) {
    EXPECT_EQ(look_up(name).code(), EINVAL) << name;
  }
}

TEST_F(InodeTableTest, SymbolicLinksAreNotFollowed) {
  ASSERT_EQ(::symlink("/etc/passwd", (path_ + "/link").c_str()), 0);
  const auto link = look_up("link");
  ASSERT_TRUE(link.ok());
  EXPECT_EQ((*link)->type(), mode_t(S_IFLNK));
}

TEST_F(InodeTableTest, AnUnlinkedFileStaysWithinReachWhileOpen) {
  make("file");
  const auto inode = look_up("file");
  ASSERT_TRUE(inode.ok());
  const auto open = table_->open_state(**inode);
  ASSERT_TRUE(open.ok());
  ASSERT_EQ(::unlink((path_ + "/file").c_str()), 0);
  const auto fd = table_->reopen(**inode, O_RDONLY);
  ASSERT_TRUE(fd.ok());
  char text[8] = {};
  EXPECT_EQ(::read(fd->get(), text, sizeof text), 4);
}

TEST_F(InodeTableTest, OpenStateIsSharedAndEndsWithItsLastUser) {
  make("file");
  const auto inode = look_up("file");
  ASSERT_TRUE(inode.ok());
  auto one = table_->open_state(**inode);
  auto two = table_->open_state(**inode);
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(one->get(), two->get());
  const std::weak_ptr<OpenInode> watched = *one;
  one->reset();
  two->reset();
  EXPECT_TRUE(watched.expired());
}

TEST_F(InodeTableTest, AFileThatTookOverAnInodeNumberIsAnotherFile) {
  if (::geteuid() != 0) GTEST_SKIP() << "file handles need root";
  // The filesystem decides which number it gives out next: most give the one that became free,
  // unless somebody else took it meanwhile.
  for (int attempt = 0; attempt < 20; ++attempt) {
    const auto old_name = "old" + std::to_string(attempt);
    make(old_name);
    const auto old = look_up(old_name.c_str());
    ASSERT_TRUE(old.ok());
    const auto number = (*old)->id().inode;
    ASSERT_EQ(::unlink((path_ + "/" + old_name).c_str()), 0);
    for (int i = 0; i < 200; ++i) {
      const auto name = "new" + std::to_string(attempt) + "-" + std::to_string(i);
      make(name);
      const auto fresh = look_up(name.c_str());
      ASSERT_TRUE(fresh.ok());
      if ((*fresh)->id().inode != number) continue;
      EXPECT_NE(*fresh, *old);
      EXPECT_TRUE(table_->path_of(**fresh).ok());
      EXPECT_EQ(table_->path_of(**old).code(), ESTALE);
      const auto before = table_->size();
      table_->forget(**old, 1);
      EXPECT_EQ(table_->size(), before - 1);
      return;
    }
  }
  GTEST_SKIP() << "this filesystem does not give inode numbers out again";
}

TEST_F(InodeTableTest, FilesCostNoDescriptors) {
  if (::geteuid() != 0) GTEST_SKIP() << "file handles need root";
  const auto open_descriptors = [] {
    const std::filesystem::directory_iterator begin("/proc/self/fd");
    return std::distance(begin, std::filesystem::directory_iterator{});
  };
  const auto before = open_descriptors();
  for (int i = 0; i < 500; ++i) {
    const auto name = "file" + std::to_string(i);
    make(name);
    ASSERT_TRUE(look_up(name.c_str()).ok());
  }
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
}  // namespace alignfs
