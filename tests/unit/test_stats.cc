#include "alignfs/report/stats.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace alignfs {
namespace {

constexpr std::size_t kGauges = 6;

/// Samples by name and labels. Fails the test on a line that is no Prometheus text, or on a sample
/// whose family was not declared just before.
std::map<std::string, std::uint64_t> parse(const std::string& text) {
  std::map<std::string, std::uint64_t> samples;
  std::string family;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string first;
    std::string second;
    words >> first >> second;
    if (first == "#") {
      EXPECT_TRUE(second == "HELP" || second == "TYPE") << line;
      words >> family >> first;
      EXPECT_TRUE(second == "HELP" || first == "counter" || first == "gauge" ||
                  first == "histogram")
          << line;
      continue;
    }
    EXPECT_EQ(first.substr(0, first.find('{')), family) << line;
    EXPECT_EQ(second.find_first_not_of("0123456789"), std::string::npos) << line;
    EXPECT_TRUE(words.eof()) << line;
    EXPECT_TRUE(samples.emplace(first, std::stoull(second)).second) << "twice: " << line;
  }
  return samples;
}

TEST(Stats, CountsByOperationAndOutcome) {
  const auto counters = std::make_unique<Counters>();
  counters->add(Operation::write, Outcome::bounced, {1, 1024, 4096, 4096, 0});
  counters->add(Operation::write, Outcome::bounced, {1, 1000, 0, 8192, 1000});
  counters->add(Operation::read, Outcome::ok, {3, 12288, 12288, 0, 0});
  const auto samples = parse(to_prometheus(*counters, {}));
  EXPECT_EQ(samples.at(R"(alignfs_requests_total{op="write",outcome="bounced"})"), 2U);
  EXPECT_EQ(samples.at(R"(alignfs_bytes_total{op="write",outcome="bounced"})"), 2024U);
  EXPECT_EQ(samples.at(R"(alignfs_backing_read_bytes_total{op="write",outcome="bounced"})"), 4096U);
  EXPECT_EQ(samples.at(R"(alignfs_backing_write_bytes_total{op="write",outcome="bounced"})"),
            12288U);
  EXPECT_EQ(samples.at(R"(alignfs_backing_page_cache_bytes_total{op="write",outcome="bounced"})"),
            1000U);
  EXPECT_EQ(samples.at(R"(alignfs_requests_total{op="read",outcome="ok"})"), 3U);
  EXPECT_EQ(samples.count(R"(alignfs_requests_total{op="read",outcome="bounced"})"), 0U);
  EXPECT_EQ(samples.size(), 2U * 5U + kGauges) << "rows of zero requests are left out";
}

TEST(Stats, EveryTimeFallsIntoTheBucketThatItsBoundCloses) {
  for (std::size_t i = 0; i + 1 < Latencies::kBuckets; ++i) {
    EXPECT_EQ(Latencies::bucket_of(Latencies::bound(i)), i);
    EXPECT_EQ(Latencies::bucket_of(Latencies::bound(i) + 1), i + 1);
  }
  EXPECT_EQ(Latencies::bucket_of(0), 0U);
  EXPECT_EQ(Latencies::bound(0), 1024U);
  EXPECT_EQ(Latencies::bound(1), 1536U);
  EXPECT_EQ(Latencies::bound(2), 2048U);
  EXPECT_EQ(Latencies::bucket_of(~std::uint64_t(0)), Latencies::kBuckets - 1);
}

TEST(Stats, ShowsLatenciesAsAHistogram) {
  const auto counters = std::make_unique<Counters>();
  using std::chrono::nanoseconds;
  for (const int time : {1000, 1024, 1500}) counters->took(Operation::read, nanoseconds(time));
  counters->took(Operation::read, std::chrono::hours(1));
  const auto text = to_prometheus(*counters, {});
  const auto begin = text.find("# TYPE alignfs_request_seconds histogram\n");
  ASSERT_NE(begin, text.npos);
  const auto has = [&](const char* line) { return text.find(line, begin) != text.npos; };
  EXPECT_TRUE(has("\nalignfs_request_seconds_bucket{op=\"read\",le=\"1.024e-06\"} 2\n")) << text;
  EXPECT_TRUE(has("\nalignfs_request_seconds_bucket{op=\"read\",le=\"1.536e-06\"} 3\n")) << text;
  EXPECT_TRUE(has("\nalignfs_request_seconds_bucket{op=\"read\",le=\"17.1798692\"} 3\n")) << text;
  EXPECT_TRUE(has("\nalignfs_request_seconds_bucket{op=\"read\",le=\"+Inf\"} 4\n")) << text;
  EXPECT_TRUE(has("\nalignfs_request_seconds_sum{op=\"read\"} 3600.000003524\n")) << text;
  EXPECT_TRUE(has("\nalignfs_request_seconds_count{op=\"read\"} 4\n")) << text;
  EXPECT_FALSE(has("{op=\"write\"")) << "nothing was written";
}

TEST(Stats, ShowsTheGauges) {
  const auto counters = std::make_unique<Counters>();
  const auto samples = parse(to_prometheus(*counters, {.open_files = 11,
                                                       .inodes = 22,
                                                       .buffer_bytes = 33,
                                                       .mappings = 44,
                                                       .mapped_bytes = 55,
                                                       .events_published = 66}));
  EXPECT_EQ(samples.at("alignfs_open_files"), 11U);
  EXPECT_EQ(samples.at("alignfs_inodes"), 22U);
  EXPECT_EQ(samples.at("alignfs_buffer_bytes"), 33U);
  EXPECT_EQ(samples.at("alignfs_mappings"), 44U);
  EXPECT_EQ(samples.at("alignfs_mapped_bytes"), 55U);
  EXPECT_EQ(samples.at("alignfs_events_published_total"), 66U);
  EXPECT_EQ(samples.size(), kGauges);
}

TEST(Stats, EveryOperationAndOutcomeHasANameOfItsOwn) {
  std::set<std::string> operations;
  for (int i = 0; i < int(Operation::kCount); ++i) operations.insert(name_of(Operation(i)));
  EXPECT_EQ(operations.size(), std::size_t(Operation::kCount));
  std::set<std::string> outcomes;
  for (int i = 0; i < int(Outcome::kCount); ++i) outcomes.insert(name_of(Outcome(i)));
  EXPECT_EQ(outcomes.size(), std::size_t(Outcome::kCount));
  EXPECT_STREQ(name_of(Operation::read), "read");
  EXPECT_STREQ(name_of(Operation::fallocate), "fallocate");
  EXPECT_STREQ(name_of(Operation::other), "other");
  EXPECT_STREQ(name_of(Outcome::rejected), "rejected");
}

TEST(Counters, SumsWhatMoreThreadsThanShardsAdd) {
  constexpr int kThreads = 40;
  constexpr int kEach = 5000;
  const auto counters = std::make_unique<Counters>();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&counters] {
      for (int i = 0; i < kEach; ++i) counters->add(Operation::read, Outcome::ok, {1, 2, 3, 4});
    });
  }
  for (std::thread& thread : threads) thread.join();
  const Counters::Cell total = counters->total(Operation::read, Outcome::ok);
  constexpr std::uint64_t kSum = std::uint64_t{kThreads} * kEach;
  EXPECT_EQ(total.requests, kSum);
  EXPECT_EQ(total.bytes, 2 * kSum);
  EXPECT_EQ(total.backing_read, 3 * kSum);
  EXPECT_EQ(total.backing_write, 4 * kSum);
  EXPECT_EQ(counters->total(Operation::write, Outcome::ok).requests, 0U);
}

}  // namespace
}  // namespace alignfs
