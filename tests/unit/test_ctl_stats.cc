#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "alignfs/ctl/stats.h"
#include "alignfs/ctl/stats_report.h"
#include "alignfs/ctl/units.h"

namespace alignfs::ctl {
namespace {

using Json = nlohmann::json;
using std::chrono::nanoseconds;

class CtlStatsTest : public ::testing::Test {
 protected:
  /// As alignctl sees what was counted.
  Stats seen(const Gauges& gauges = {}) const {
    return parse_stats(to_prometheus(*counters_, gauges));
  }

  std::unique_ptr<Counters> counters_ = std::make_unique<Counters>();
};

TEST_F(CtlStatsTest, ReadsWhatTheMountWrites) {
  for (std::size_t i = 0; i < std::size_t(Operation::kCount); ++i) {
    for (std::size_t k = 0; k < std::size_t(Outcome::kCount); ++k) {
      counters_->add(Operation(i), Outcome(k), {i + 1, k + 100, i + 1000, k + 10000, i + k});
    }
  }
  const auto stats = seen({1, 2, 3, 4, 5, 6});
  for (std::size_t i = 0; i < std::size_t(Operation::kCount); ++i) {
    for (std::size_t k = 0; k < std::size_t(Outcome::kCount); ++k) {
      const auto& cell = stats.of(Operation(i)).of(Outcome(k));
      EXPECT_EQ(cell.requests, i + 1);
      EXPECT_EQ(cell.bytes, k + 100);
      EXPECT_EQ(cell.backing_read, i + 1000);
      EXPECT_EQ(cell.backing_write, k + 10000);
      EXPECT_EQ(cell.page_cache, i + k);
    }
  }
  const auto& gauges = stats.gauges;
  EXPECT_EQ(gauges.open_files, 1U);
  EXPECT_EQ(gauges.inodes, 2U);
  EXPECT_EQ(gauges.buffer_bytes, 3U);
  EXPECT_EQ(gauges.mappings, 4U);
  EXPECT_EQ(gauges.mapped_bytes, 5U);
  EXPECT_EQ(gauges.events_published, 6U);
}

TEST_F(CtlStatsTest, ReadsEveryBucketOfAHistogram) {
  for (std::size_t i = 0; i < Latencies::kBuckets; ++i) {
    const auto times = i % 3 + 1;
    const bool last = i + 1 == Latencies::kBuckets;
    for (std::size_t k = 0; k < times; ++k) {
      counters_->took(Operation::fsync, last ? std::chrono::hours(1)
                                             : nanoseconds(std::int64_t(Latencies::bound(i))));
    }
  }
  const auto expected = counters_->latencies(Operation::fsync);
  const auto latencies = seen().of(Operation::fsync).latencies;
  EXPECT_EQ(latencies.counts, expected.counts);
  // A double of seconds holds it, but for the last digits.
  EXPECT_NEAR(double(latencies.nanoseconds), double(expected.nanoseconds), 1000);
}

TEST_F(CtlStatsTest, LeavesOutWhatItDoesNotKnow) {
  const auto stats = parse_stats(
      "# HELP nonsense\nalignfs_requests_total{op=\"levitate\",outcome=\"ok\"} 4\n"
      "alignfs_requests_total{op=\"read\",outcome=\"better\"} 4\nx\n\n{} }\n"
      "alignfs_requests_total{op=\"read\",outcome=\"ok\"} 7\nalignfs_inodes many\n");
  EXPECT_EQ(stats.of(Operation::read).total().requests, 7U);
  EXPECT_EQ(stats.gauges.inodes, 0U);
}

TEST_F(CtlStatsTest, InterpolatesPercentilesWithinABucket) {
  Latencies latencies;
  EXPECT_EQ(percentile(latencies, 0.5), std::nullopt);
  EXPECT_EQ(mean(latencies), std::nullopt);
  latencies.counts[1] = 50;  // 1024 to 1536 ns
  latencies.counts[2] = 40;  // 1536 to 2048 ns
  latencies.counts[Latencies::kBuckets - 1] = 10;
  latencies.nanoseconds = 1'000'000;
  EXPECT_DOUBLE_EQ(*percentile(latencies, 0.25), 1280);
  EXPECT_DOUBLE_EQ(*percentile(latencies, 0.5), 1536);
  EXPECT_DOUBLE_EQ(*percentile(latencies, 0.7), 1792);
  EXPECT_DOUBLE_EQ(*percentile(latencies, 0.9), 2048);
  EXPECT_DOUBLE_EQ(*percentile(latencies, 0.99), double(std::uint64_t(1) << 34U)) << "no end";
  EXPECT_DOUBLE_EQ(*mean(latencies), 10'000);
  latencies = {};
  latencies.counts[0] = 1;
  EXPECT_DOUBLE_EQ(*percentile(latencies, 0.5), 512) << "the first bucket begins with 0";
}

TEST_F(CtlStatsTest, SubtractsAndTellsAnotherMount) {
  counters_->add(Operation::write, Outcome::bounced, {1, 100, 4096, 4096, 10});
  counters_->took(Operation::write, nanoseconds(2000));
  const auto before = seen({.open_files = 9, .events_published = 5});
  counters_->add(Operation::write, Outcome::bounced, {2, 200, 8192, 8192, 20});
  counters_->took(Operation::write, nanoseconds(3000));
  const auto now = seen({.open_files = 3, .events_published = 7});

  const auto grown = difference(now, before);
  ASSERT_TRUE(grown);
  const auto total = grown->of(Operation::write).total();
  EXPECT_EQ(total.requests, 2U);
  EXPECT_EQ(total.bytes, 200U);
  EXPECT_EQ(total.backing_read, 8192U);
  EXPECT_EQ(total.backing_write, 8192U);
  EXPECT_EQ(total.page_cache, 20U);
  EXPECT_DOUBLE_EQ(*mean(grown->of(Operation::write).latencies), 3000);
  EXPECT_EQ(grown->gauges.open_files, 3U) << "as of now";
  EXPECT_EQ(grown->gauges.events_published, 2U);
  EXPECT_FALSE(difference(before, now)) << "counters never shrink";
}

TEST_F(CtlStatsTest, NothingIsNull) {
  EXPECT_EQ(amplification({}), std::nullopt);
  EXPECT_DOUBLE_EQ(*amplification({10, 1000, 40960, 40960, 0}), 81.92);
  const auto empty = Json::parse(stats_json(seen(), {}));
  EXPECT_TRUE(empty["seconds"].is_null());
  EXPECT_TRUE(empty["adapted_share"].is_null());
  EXPECT_TRUE(empty["operations"].empty());
  const auto text = stats_text(seen(), {{}, 1.0});
  EXPECT_NE(text.find("in 1.00 s\nno requests\nnothing was read or written\n"), text.npos) << text;

  counters_->add(Operation::read, Outcome::rejected, {1, 0, 0, 0, 0});
  const auto refused = Json::parse(stats_json(seen(), {}))["operations"]["read"];
  EXPECT_TRUE(refused["amplification"].is_null());
  EXPECT_TRUE(refused["nanoseconds"]["p99.9"].is_null());
}

TEST(CtlUnits, ArePutForPeople) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(1000), "1000 B");
  EXPECT_EQ(bytes_text(1023.6), "1.00 KiB") << "rounded before the unit is chosen";
  EXPECT_EQ(bytes_text(40960), "40.0 KiB");
  EXPECT_EQ(bytes_text(1023 * 1024.0), "1023 KiB");
  EXPECT_EQ(bytes_text(1.25 * (1U << 30U)), "1.25 GiB");
  EXPECT_EQ(short_bytes(1000), "1000");
  EXPECT_EQ(short_bytes(40960), "40.0K");
  EXPECT_EQ(time_text(870), "0.87 µs");
  EXPECT_EQ(time_text(410'000), "410 µs");
  EXPECT_EQ(time_text(999'700), "1.00 ms");
  EXPECT_EQ(time_text(3e9), "3.00 s");
  EXPECT_EQ(time_text(7200e9), "7200 s");
  EXPECT_EQ(short_time(12'300'000), "12.3ms");
  EXPECT_EQ(short_count(0), "0");
  EXPECT_EQ(short_count(0.5), "0.5");
  EXPECT_EQ(short_count(12.4), "12");
  EXPECT_EQ(short_count(12'340), "12.3k");
  EXPECT_EQ(short_ratio(81.92), "81.92");
  EXPECT_EQ(short_ratio(4096), "4.10k");
}

}  // namespace
}  // namespace alignfs::ctl
