// .alignfs/stats: read, subtracted, and what follows from it.

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <sstream>
#include <string_view>

#include "alignfs/ctl/stats.h"
#include "alignfs/ctl/units.h"

namespace alignfs::ctl {
namespace {

using Cell = Counters::Cell;

const std::string kBucket = std::string(kLatencyFamily) + "_bucket";
const std::string kSum = std::string(kLatencyFamily) + "_sum";
constexpr double kSecond = 1e9;

/// NAME{LABELS} VALUE
struct Sample {
  std::string_view name, labels, value;

  /// Of the label `label`; empty where there is none.
  std::string_view label(const std::string& label) const {
    const auto start = labels.find(label + "=\"");
    if (start == labels.npos) return {};
    const auto rest = labels.substr(start + label.size() + 2);
    return rest.substr(0, rest.find('"'));
  }
  std::uint64_t count() const {
    std::uint64_t number = 0;
    std::from_chars(value.data(), value.data() + value.size(), number);
    return number;
  }
};

Sample sample_of(std::string_view line) {
  const auto blank = line.rfind(' ');
  if (blank == line.npos || line.starts_with('#')) return {};
  const auto series = line.substr(0, blank);
  const auto brace = std::min(series.find('{'), series.size());
  return {series.substr(0, brace), series.substr(brace), line.substr(blank + 1)};
}

/// The value of the enumeration that is called `name`; nothing for one of another version.
template <typename Value>
std::optional<Value> called(std::string_view name) {
  for (std::size_t i = 0; i < std::size_t(Value::kCount); ++i) {
    if (name == name_of(Value(i))) return Value(i);
  }
  return std::nullopt;
}

/// Nanoseconds of a time in seconds, "+Inf" included.
double nanoseconds_of(std::string_view seconds) {
  return std::strtod(std::string(seconds).c_str(), nullptr) * kSecond;
}

/// Buckets count all that is shorter, too: subtracted when all are read.
void take_bucket(Latencies& latencies, const Sample& sample) {
  const double bound = nanoseconds_of(sample.label("le"));
  // Bounds are rounded in the text: something shorter lies surely in the bucket that they close.
  const auto index = std::isfinite(bound) ? Latencies::bucket_of(std::uint64_t(bound * 0.999))
                                          : Latencies::kBuckets - 1;
  latencies.counts[index] = sample.count();
}

void take(Stats& stats, const Sample& sample) {
  for (const auto& gauge : gauge_families()) {
    if (sample.name == gauge.name) stats.gauges.*gauge.value = sample.count();
  }
  const auto operation = called<Operation>(sample.label("op"));
  if (!operation) return;
  auto& its = stats.of(*operation);
  if (sample.name == kBucket) take_bucket(its.latencies, sample);
  if (sample.name == kSum) {
    its.latencies.nanoseconds = std::uint64_t(std::llround(nanoseconds_of(sample.value)));
  }
  const auto outcome = called<Outcome>(sample.label("outcome"));
  if (!outcome) return;
  for (const auto& family : counter_families()) {
    if (sample.name == family.name) its.of(*outcome).*family.value = sample.count();
  }
}

void add(Cell& cell, const Cell& more) {
  for (const auto& family : counter_families()) cell.*family.value += more.*family.value;
}

/// False if it would be below 0.
bool subtract(std::uint64_t& from, std::uint64_t what) {
  if (from < what) return false;
  from -= what;
  return true;
}

bool subtract(OperationStats& from, const OperationStats& what) {
  bool fits = subtract(from.latencies.nanoseconds, what.latencies.nanoseconds);
  for (std::size_t i = 0; i < Latencies::kBuckets; ++i) {
    fits &= subtract(from.latencies.counts[i], what.latencies.counts[i]);
  }
  for (std::size_t i = 0; i < from.cells.size(); ++i) {
    for (const auto& family : counter_families()) {
      fits &= subtract(from.cells[i].*family.value, what.cells[i].*family.value);
    }
  }
  return fits;
}

std::uint64_t requests_in(const Latencies& latencies) {
  return std::accumulate(latencies.counts.begin(), latencies.counts.end(), std::uint64_t(0));
}

}  // namespace

Cell OperationStats::total() const {
  Cell sum;
  for (const auto& cell : cells) add(sum, cell);
  return sum;
}

OperationStats& OperationStats::operator+=(const OperationStats& more) {
  for (std::size_t i = 0; i < cells.size(); ++i) add(cells[i], more.cells[i]);
  for (std::size_t i = 0; i < Latencies::kBuckets; ++i) {
    latencies.counts[i] += more.latencies.counts[i];
  }
  latencies.nanoseconds += more.latencies.nanoseconds;
  return *this;
}

Stats parse_stats(const std::string& text) {
  Stats stats;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) take(stats, sample_of(line));
  for (auto& operation : stats.operations) {
    auto& counts = operation.latencies.counts;
    std::adjacent_difference(counts.begin(), counts.end(), counts.begin());
  }
  return stats;
}

std::optional<Stats> difference(const Stats& now, const Stats& earlier) {
  Stats result = now;
  bool fits = subtract(result.gauges.events_published, earlier.gauges.events_published);
  for (std::size_t i = 0; i < result.operations.size(); ++i) {
    fits &= subtract(result.operations[i], earlier.operations[i]);
  }
  if (!fits) return std::nullopt;
  return result;
}

std::optional<double> percentile(const Latencies& latencies, double share) {
  const auto requests = requests_in(latencies);
  if (requests == 0) return std::nullopt;
  const double rank = share * double(requests);
  double before = 0, start = 0;
  for (std::size_t i = 0; i + 1 < Latencies::kBuckets; ++i) {
    const auto end = double(Latencies::bound(i));
    const auto count = double(latencies.counts[i]);
    if (count != 0 && before + count >= rank) {
      return start + (end - start) * (rank - before) / count;
    }
    before += count;
    start = end;
  }
  return start;
}

std::optional<double> mean(const Latencies& latencies) {
  return ratio(latencies.nanoseconds, requests_in(latencies));
}

std::optional<double> amplification(const Cell& cell) {
  return ratio(cell.backing_read + cell.backing_write, cell.bytes);
}

}  // namespace alignfs::ctl
