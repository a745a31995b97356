#include "alignfs/report/last_errors.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace alignfs {
namespace {

constexpr FileId kFile{1, 100};
constexpr FileId kOther{1, 101};

TEST(LastErrors, GivesEachUserItsOwnNewest) {
  LastErrors errors;
  errors.remember(kFile, 10, "first of 10");
  errors.remember(kFile, 10, "second of 10");
  errors.remember(kFile, 20, "of 20");
  EXPECT_EQ(errors.find(kFile, 10, false), "second of 10");
  EXPECT_EQ(errors.find(kFile, 20, false), "of 20");
  EXPECT_EQ(errors.find(kFile, 30, false), std::nullopt);
  EXPECT_EQ(errors.find(kOther, 10, false), std::nullopt);
}

TEST(LastErrors, WhoSeesAllSeesTheNewestOfAnybody) {
  LastErrors errors;
  errors.remember(kFile, 10, "of 10");
  errors.remember(kFile, 20, "of 20");
  EXPECT_EQ(errors.find(kFile, 0, true), "of 20");
  errors.remember(kFile, 10, "of 10 again");
  EXPECT_EQ(errors.find(kFile, 0, true), "of 10 again");
  EXPECT_EQ(errors.find(kOther, 0, true), std::nullopt);
}

TEST(LastErrors, AreForgottenWithTheFile) {
  LastErrors errors;
  errors.remember(kFile, 10, "of the one that was");
  errors.remember(kOther, 10, "of the other");
  errors.forget(kFile);
  errors.forget(kFile);
  EXPECT_EQ(errors.find(kFile, 0, true), std::nullopt);
  EXPECT_EQ(errors.find(kOther, 0, true), "of the other");
  errors.remember(kFile, 10, "of the one that is");
  EXPECT_EQ(errors.find(kFile, 10, false), "of the one that is");
}

TEST(LastErrors, SameInodeOnAnotherDeviceIsAnotherFile) {
  LastErrors errors;
  errors.remember({1, 100}, 10, "one");
  EXPECT_EQ(errors.find({2, 100}, 10, true), std::nullopt);
}

TEST(LastErrors, ForgetsTheFileRefusedLongestAgo) {
  LastErrors errors(2);
  errors.remember({1, 1}, 0, "one");
  errors.remember({1, 2}, 0, "two");
  errors.remember({1, 1}, 0, "one again");
  EXPECT_EQ(errors.find({1, 2}, 0, false), "two") << "asking is no refusal";
  errors.remember({1, 3}, 0, "three");
  EXPECT_EQ(errors.find({1, 2}, 0, false), std::nullopt);
  EXPECT_EQ(errors.find({1, 1}, 0, false), "one again");
  EXPECT_EQ(errors.find({1, 3}, 0, false), "three");
}

TEST(LastErrors, ForgetsTheUserRefusedLongestAgo) {
  LastErrors errors;
  for (uid_t uid = 0; uid < LastErrors::kUsersPerFile; ++uid) errors.remember(kFile, uid, "x");
  errors.remember(kFile, 0, "x");  // now user 1 is the oldest
  errors.remember(kFile, 1000, "x");
  EXPECT_EQ(errors.find(kFile, 1, false), std::nullopt);
  EXPECT_EQ(errors.find(kFile, 0, false), "x");
  EXPECT_EQ(errors.find(kFile, 2, false), "x");
  EXPECT_EQ(errors.find(kFile, 1000, false), "x");
}

TEST(LastErrors, ManyThreadsEachFindTheirOwn) {
  LastErrors errors;
  std::vector<std::thread> threads;
  for (uid_t uid = 0; uid < LastErrors::kUsersPerFile; ++uid) {
    threads.emplace_back([&errors, uid] {
      for (int i = 0; i < 1000; ++i) {
        const std::string text = std::to_string(uid) + ":" + std::to_string(i);
        errors.remember(kFile, uid, text);
        EXPECT_EQ(errors.find(kFile, uid, false), text);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace alignfs
