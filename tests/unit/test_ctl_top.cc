#include <gtest/gtest.h>

#include <clocale>
#include <vector>

#include "alignfs/ctl/top_model.h"
#include "alignfs/ctl/top_table.h"
#include "alignfs/ctl/top_view.h"
#include "alignfs/ctl/wide_text.h"

namespace alignfs::ctl {
namespace {

/// One request each, as of `bytes` that cost `below` written on the backing.
Moved moved(std::uint64_t requests, std::uint64_t bytes, std::uint64_t below = 0) {
  return {.requests = requests, .bytes = bytes, .backing_write = below, .nanoseconds = requests};
}

ActivityRow row(pid_t pid, std::string path, Moved write, Moved read = {}) {
  return {pid, "program" + std::to_string(pid), std::move(path), read, write};
}

std::vector<pid_t> pids_of(const std::vector<TopRow>& rows) {
  std::vector<pid_t> pids;
  for (const auto& each : rows) pids.push_back(each.pid);
  return pids;
}

class CtlTopTest : public ::testing::Test {
 protected:
  CtlTopTest() { std::setlocale(LC_CTYPE, "C.UTF-8"); }
  ~CtlTopTest() override { std::setlocale(LC_CTYPE, "C"); }

  TopModel model_;
};

TEST_F(CtlTopTest, FirstShowsSumsThenDifferences) {
  model_.take({1, 0, {row(1, "/a", moved(10, 1000))}}, 0);
  EXPECT_EQ(model_.seconds(), std::nullopt);
  EXPECT_EQ(model_.total(), moved(10, 1000));
  model_.take({1, 0, {row(1, "/a", moved(14, 1600)), row(2, "/b", moved(1, 5))}}, 2.0);
  EXPECT_EQ(model_.seconds(), 2.0);
  const auto rows = model_.rows(Grouping::both, Column::pid);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].write, moved(4, 600));
  EXPECT_EQ(rows[1].write, moved(1, 5)) << "a new row began in between";
}

TEST_F(CtlTopTest, DoesNotCompareLooksOfDifferentWatches) {
  model_.take({1, 0, {row(1, "/a", moved(10, 1000))}}, 0);
  model_.take({2, 0, {row(1, "/a", moved(12, 1200))}}, 1.0);
  EXPECT_EQ(model_.seconds(), std::nullopt);
  EXPECT_EQ(model_.total(), moved(12, 1200));
}

TEST_F(CtlTopTest, SumsThatShrankSayNothing) {
  model_.take({1, 0, {row(1, "/a", moved(10, 1000))}}, 0);
  model_.take({1, 3, {row(1, "/a", moved(4, 400))}}, 1.0);
  EXPECT_EQ(model_.total(), Moved{});
  EXPECT_EQ(model_.forgotten(), 3U);
  model_.take({1, 3, {row(1, "/a", moved(5, 500))}}, 1.0);
  EXPECT_EQ(model_.total(), moved(1, 100));
}

TEST_F(CtlTopTest, KeepsRefusalsSinceTheFirstLook) {
  const Moved one{.requests = 1, .rejected = 1}, three{.requests = 3, .rejected = 3};
  model_.take({1, 0, {row(1, "/a", one)}}, 0);
  model_.take({1, 0, {row(1, "/a", three), row(2, "/a", one)}}, 1.0);
  model_.take({1, 0, {row(1, "/a", three)}}, 1.0);
  EXPECT_EQ(model_.rows(Grouping::both, Column::pid).at(0).refused, 3U);
  EXPECT_EQ(model_.refused(), 4U) << "those of the row that is gone, too";
}

TEST_F(CtlTopTest, GroupsByProcessAndByFile) {
  model_.take({1,
               0,
               {row(1, "/a", moved(1, 10), moved(1, 1)), row(1, "/b", moved(2, 20)),
                row(2, "/a", moved(4, 40))}},
              0);
  EXPECT_EQ(model_.rows(Grouping::both, Column::pid).size(), 3U);
  const auto processes = model_.rows(Grouping::process, Column::pid);
  ASSERT_EQ(processes.size(), 2U);
  EXPECT_EQ(processes[0].files, 2U);
  EXPECT_EQ(processes[0].write, moved(3, 30));
  EXPECT_EQ(processes[0].read, moved(1, 1));
  EXPECT_EQ(processes[1].files, 1U);
  const auto files = model_.rows(Grouping::file, Column::path);
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files[0].path, "/a");
  EXPECT_EQ(files[0].processes, 2U);
  EXPECT_EQ(files[0].write, moved(5, 50));
  EXPECT_EQ(files[0].subject(Grouping::file), (Subject{std::nullopt, "/a"}));
  EXPECT_EQ(processes[0].subject(Grouping::process), (Subject{1, std::nullopt}));
}

TEST_F(CtlTopTest, SortsByEveryColumn) {
  const Moved little{.requests = 1,
                     .bytes = 10,
                     .backing_write = 10,
                     .adapted = 0,
                     .rejected = 0,
                     .nanoseconds = 1};
  const Moved much{.requests = 2,
                   .bytes = 20,
                   .backing_write = 200,
                   .adapted = 2,
                   .rejected = 1,
                   .nanoseconds = 20};
  model_.take(
      {1, 0, {row(1, "/z", little, little), row(2, "/a", much, much), row(3, "/m", {}, {})}}, 0);
  for (int i = 0; i < int(Column::kCount); ++i) {
    const auto column = Column(i);
    const bool by_name = column == Column::pid || column == Column::comm;
    const auto expected = by_name                  ? std::vector<pid_t>{1, 2, 3}
                          : column == Column::path ? std::vector<pid_t>{2, 3, 1}
                                                   : std::vector<pid_t>{2, 1, 3};
    EXPECT_EQ(pids_of(model_.rows(Grouping::both, column)), expected) << name_of(column);
  }
}

TEST_F(CtlTopTest, NothingHasNoShares) {
  EXPECT_EQ(amplification(Moved{}), std::nullopt);
  EXPECT_EQ(adapted_share(Moved{}), std::nullopt);
  EXPECT_EQ(mean_latency(Moved{}), std::nullopt);
  EXPECT_EQ(amplification(moved(10, 1000, 81920)), 81.92);
}

std::wstring text_of(const Line& line) {
  std::wstring text;
  for (const auto& piece : line) text += piece.text;
  return text;
}

TEST_F(CtlTopTest, ShowsFiguresASecond) {
  TopRow shown;
  shown.pid = 7;
  shown.comm = "a\x1b[2J";
  shown.path = "/db/wal";
  shown.write = {.requests = 20,
                 .bytes = 2000,
                 .backing_read = 81920,
                 .backing_write = 81920,
                 .adapted = 10,
                 .nanoseconds = 20 * 410'000};
  const TopTable table(Grouping::both, Column::below, 2.0, 100);
  EXPECT_EQ(text_of(table.line(shown, false)),
            L"      7 a\\x1b[2J           0    10     0  1000 80.0K 81.92  50%    0  410µs "
            L"/db/wal                 ");
  EXPECT_NE(text_of(table.heading()).find(L"BELOW"), std::wstring::npos);
}

TEST_F(CtlTopTest, FitsIntoAnyWindow) {
  TopView view("title", [](const Subject&) { return std::string("because of\n  it"); });
  std::vector<ActivityRow> rows;
  for (pid_t pid = 1; pid < 50; ++pid) rows.push_back(row(pid, "/名/wal", moved(1, 1)));
  view.take({1, 5, rows}, 0);
  for (const int key : {int('x'), int(kLast), int(kEnter), int(kPageDown)}) {
    view.press(key);
    for (std::size_t height = 0; height < 12; ++height) {
      for (std::size_t width = 1; width < 120; ++width) {
        const auto lines = view.lines(height, width);
        EXPECT_LE(lines.size(), height);
        for (const auto& line : lines) EXPECT_LE(columns_of(text_of(line)), width);
      }
    }
  }
}

TEST_F(CtlTopTest, TheSelectedRowStaysSelected) {
  TopView view("title", [](const Subject& subject) { return std::to_string(*subject.pid); });
  view.take({1, 0, {row(1, "/a", moved(1, 10, 10)), row(2, "/b", moved(1, 10, 5))}}, 0);
  const auto explained = [&] {
    view.press(kEnter);
    const auto text = text_of(view.lines(10, 80).at(1));
    view.press(kEscape);
    return text;
  };
  EXPECT_EQ(explained(), L"1");
  view.press('j');
  EXPECT_EQ(explained(), L"2");
  view.take({1, 0, {row(1, "/a", moved(1, 10, 10)), row(2, "/b", moved(9, 90, 500))}}, 1);
  EXPECT_EQ(explained(), L"2") << "although it is the first row now";
  view.press('k');
  EXPECT_EQ(explained(), L"2") << "there is none above";
  EXPECT_FALSE(view.press('q'));
}

TEST_F(CtlTopTest, CutsByColumns) {
  EXPECT_EQ(fitted(L"/long/path", 6, Cut::left), L"…/path");
  EXPECT_EQ(fitted(L"/long/path", 6, Cut::right), L"/long…");
  EXPECT_EQ(fitted(L"名名名", 4, Cut::left), L"…名 ");
  EXPECT_EQ(fitted(L"ab", 4, Cut::left), L"ab  ");
  EXPECT_EQ(fitted(L"ab", 0, Cut::left), L"");
  EXPECT_EQ(right_aligned(L"ab", 4), L"  ab");
  EXPECT_EQ(wide("a\x1b\xff"
                 "b\n"),
            L"a??b?");
  EXPECT_EQ(wrapped("  one two three\nfour", 10),
            (std::vector<std::wstring>{L"  one two", L"  three", L"four"}));
}

}  // namespace
}  // namespace alignfs::ctl
