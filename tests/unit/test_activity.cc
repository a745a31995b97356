#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "alignfs/report/activity.h"

namespace alignfs {
namespace {

using Json = nlohmann::json;

class ActivityTest : public ::testing::Test {
 protected:
  Activity make(std::size_t capacity) {
    return Activity(
        [this](const Fragment& fragment) {
          ++described_;
          return Activity::Name{fragment.requester.tid / 10, "program",
                                directory_ + "/file" + std::to_string(fragment.file.inode)};
        },
        capacity,
        [this] {
          return timespec{now_, 0};
        });
  }
  static Fragment fragment(pid_t tid, ino_t inode, Direction direction = Direction::write) {
    return {direction, 0, 100, {tid, 0, 0}, {1, inode}, -1};
  }
  static Served served(Outcome outcome = Outcome::ok) {
    return {outcome, {1, 100, 4096, 8192, 512}, std::chrono::nanoseconds(7)};
  }
  static std::vector<Json> lines(Activity& activity) {
    std::istringstream text(activity.look());
    std::vector<Json> values;
    for (std::string line; std::getline(text, line);) values.push_back(Json::parse(line));
    return values;
  }

  std::string directory_;
  time_t now_ = 1000;
  int described_ = 0;
};

TEST_F(ActivityTest, CountsFromTheFirstLookOn) {
  auto activity = make(10);
  activity.note(fragment(10, 1), served());
  EXPECT_EQ(lines(activity).size(), 1u) << "nobody had looked";
  activity.note(fragment(10, 1), served());
  activity.note(fragment(10, 1, Direction::read), served());
  const auto rows = lines(activity);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1]["pid"], 1);
  EXPECT_EQ(rows[1]["comm"], "program");
  EXPECT_EQ(rows[1]["path"], "/file1");
  for (const char* direction : {"read", "write"}) {
    EXPECT_EQ(rows[1][direction], Json::parse(R"({"requests":1,"bytes":100,"backing_read":4096,
        "backing_write":8192,"page_cache":512,"adapted":0,"rejected":0,"errors":0,
        "nanoseconds":7})"));
  }
  EXPECT_EQ(described_, 1) << "once a thread and file";
}

TEST_F(ActivityTest, TellsOutcomesApart) {
  auto activity = make(10);
  activity.look();
  for (const auto outcome : {Outcome::ok, Outcome::bounced, Outcome::split, Outcome::rejected,
                             Outcome::rejected, Outcome::rejected, Outcome::error}) {
    activity.note(fragment(10, 1), served(outcome));
  }
  const auto write = lines(activity).at(1)["write"];
  EXPECT_EQ(write["requests"], 7);
  EXPECT_EQ(write["adapted"], 2);
  EXPECT_EQ(write["rejected"], 3);
  EXPECT_EQ(write["errors"], 1);
}

TEST_F(ActivityTest, ThreadsOfAProcessStandTogetherAndFilesApart) {
  auto activity = make(10);
  activity.look();
  activity.note(fragment(10, 1), served());
  activity.note(fragment(11, 1), served());
  activity.note(fragment(20, 1), served());
  activity.note(fragment(10, 2), served());
  const auto rows = lines(activity);
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[1]["write"]["requests"], 2);
  EXPECT_EQ(rows[1]["write"]["nanoseconds"], 14);
  EXPECT_EQ(rows[2]["path"], "/file2");
  EXPECT_EQ(rows[3]["pid"], 2);
}

TEST_F(ActivityTest, ForgetsWhoWasQuietLongestAndSaysHowMany) {
  auto activity = make(2);
  activity.look();
  for (const pid_t tid : {10, 20, 10, 30}) activity.note(fragment(tid, 1), served());
  const auto rows = lines(activity);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0]["forgotten"], 1);
  EXPECT_EQ(rows[1]["pid"], 1);
  EXPECT_EQ(rows[2]["pid"], 3);
}

TEST_F(ActivityTest, BeginsAnewUnderANewName) {
  auto activity = make(10);
  activity.look();
  activity.note(fragment(10, 1), served());
  directory_ = "/new";
  activity.note(fragment(10, 1), served());
  EXPECT_EQ(lines(activity).at(1)["path"], "/file1") << "asked once a look";
  activity.note(fragment(10, 1), served());
  const auto rows = lines(activity);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1]["path"], "/new/file1");
  EXPECT_EQ(rows[1]["write"]["requests"], 1);
  activity.note(fragment(10, 1), served());
  EXPECT_EQ(lines(activity).at(1)["write"]["requests"], 2) << "the same name goes on";
}

TEST_F(ActivityTest, EndsWhenNobodyHasLookedForAWhile) {
  auto activity = make(10);
  activity.look();
  activity.note(fragment(10, 1), served());
  now_ += Activity::kAttention;
  activity.note(fragment(10, 1), served());
  EXPECT_EQ(lines(activity).at(1)["write"]["requests"], 2);
  now_ += Activity::kAttention + 1;
  activity.note(fragment(10, 1), served());
  const auto rows = lines(activity);
  ASSERT_EQ(rows.size(), 1u) << "a new watch begins with nothing";
  EXPECT_EQ(rows[0]["watch"], 2);
  activity.note(fragment(10, 1), served());
  EXPECT_EQ(lines(activity).at(0)["watch"], 2);
}

}  // namespace
}  // namespace alignfs
