#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "alignfs/base/counters.h"
#include "alignfs/report/stats.h"

namespace alignfs::ctl {

/// What .alignfs/stats holds of one operation.
struct OperationStats {
  std::array<Counters::Cell, std::size_t(Outcome::kCount)> cells{};  ///< by Outcome
  Latencies latencies;

  Counters::Cell& of(Outcome outcome) { return cells[std::size_t(outcome)]; }
  const Counters::Cell& of(Outcome outcome) const { return cells[std::size_t(outcome)]; }
  /// All outcomes together.
  Counters::Cell total() const;
  OperationStats& operator+=(const OperationStats& more);
};

/// One look at .alignfs/stats, or the difference of two.
struct Stats {
  std::array<OperationStats, std::size_t(Operation::kCount)> operations{};  ///< by Operation
  Gauges gauges;

  OperationStats& of(Operation operation) { return operations[std::size_t(operation)]; }
  const OperationStats& of(Operation operation) const { return operations[std::size_t(operation)]; }
};

/// `text` is Prometheus text as to_prometheus() writes it. What it has not is 0; lines that this
/// version does not know are left out.
Stats parse_stats(const std::string& text);

/// What was counted from `earlier` until `now`, and the gauges of now. Nothing if a counter has
/// shrunk: then they are of different mounts.
std::optional<Stats> difference(const Stats& now, const Stats& earlier);

/// The time in nanoseconds within which the share `share` (0 to 1) of requests were answered,
/// interpolated linearly within the bucket that it falls into. What is in the last bucket, which
/// has no end, counts as its beginning: 17 s. Nothing without requests.
std::optional<double> percentile(const Latencies& latencies, double share);
/// In nanoseconds. Nothing without requests.
std::optional<double> mean(const Latencies& latencies);

/// Bytes read from and written to the backing for each byte that programs asked for and got.
/// Nothing without such.
std::optional<double> amplification(const Counters::Cell& cell);

}  // namespace alignfs::ctl
