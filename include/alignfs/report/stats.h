#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "alignfs/base/counters.h"

namespace alignfs {

/// Figures of the moment that stand beside the counters.
struct Gauges {
  std::uint64_t open_files = 0;
  std::uint64_t inodes = 0;
  std::uint64_t buffer_bytes = 0;
  std::uint64_t mappings = 0;
  std::uint64_t mapped_bytes = 0;
  std::uint64_t events_published = 0;
};

/// What .alignfs/stats calls a figure, for who writes it and for who reads it.
struct CounterFamily {
  const char* name;
  const char* help;
  std::uint64_t Counters::Cell::*value;
};
struct GaugeFamily {
  const char* name;
  const char* help;
  const char* type;  ///< "gauge" or "counter"
  std::uint64_t Gauges::*value;
};
std::span<const CounterFamily> counter_families();
std::span<const GaugeFamily> gauge_families();
/// The histogram of times, without the suffixes of its series.
constexpr const char* kLatencyFamily = "alignfs_request_seconds";

/// Everything as Prometheus text format (exposition format 0.0.4): HELP and TYPE lines, then
/// alignfs_requests_total, alignfs_bytes_total, alignfs_backing_read_bytes_total,
/// alignfs_backing_write_bytes_total and alignfs_backing_page_cache_bytes_total with labels op and
/// outcome (rows of zero requests are left out), the histogram alignfs_request_seconds with label
/// op, then the gauges.
std::string to_prometheus(const Counters& counters, const Gauges& gauges);

}  // namespace alignfs
