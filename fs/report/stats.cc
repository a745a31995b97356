#include "alignfs/report/stats.h"

#include <fmt/format.h>

#include <iterator>
#include <vector>

namespace alignfs {
namespace {

constexpr CounterFamily kCounterFamilies[] = {
    {"alignfs_requests_total", "Requests by operation and outcome.", &Counters::Cell::requests},
    {"alignfs_bytes_total", "Bytes that programs asked for and got.", &Counters::Cell::bytes},
    {"alignfs_backing_read_bytes_total", "Bytes read from the backing for these requests.",
     &Counters::Cell::backing_read},
    {"alignfs_backing_write_bytes_total", "Bytes written to the backing for these requests.",
     &Counters::Cell::backing_write},
    {"alignfs_backing_page_cache_bytes_total",
     "Bytes of these two that went through the page cache of the backing.",
     &Counters::Cell::page_cache},
};

constexpr GaugeFamily kGaugeFamilies[] = {
    {"alignfs_open_files", "Files open on the mount.", "gauge", &Gauges::open_files},
    {"alignfs_inodes", "Inodes the kernel holds.", "gauge", &Gauges::inodes},
    {"alignfs_buffer_bytes", "Bytes of buffers allocated.", "gauge", &Gauges::buffer_bytes},
    {"alignfs_mappings", "Backing files mapped.", "gauge", &Gauges::mappings},
    {"alignfs_mapped_bytes", "Address space of the mappings.", "gauge", &Gauges::mapped_bytes},
    {"alignfs_events_published_total", "Events published, merged ones not counted.", "counter",
     &Gauges::events_published},
};

struct Row {
  Operation operation;
  Outcome outcome;
  Counters::Cell cell;
};

/// One look at the counters, so that the families of one answer belong together.
std::vector<Row> rows_of(const Counters& counters) {
  std::vector<Row> rows;
  for (std::size_t op = 0; op < std::size_t(Operation::kCount); ++op) {
    for (std::size_t out = 0; out < std::size_t(Outcome::kCount); ++out) {
      const auto cell = counters.total(Operation(op), Outcome(out));
      if (cell.requests != 0) rows.push_back({Operation(op), Outcome(out), cell});
    }
  }
  return rows;
}

void add_header(std::string& text, const char* name, const char* help, const char* type) {
  fmt::format_to(std::back_inserter(text), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

/// Operations without requests are left out.
void add_latencies(std::string& text, const Counters& counters) {
  constexpr double kSecond = 1e9;
  add_header(text, kLatencyFamily, "Time from a request's receipt until its answer was ready.",
             "histogram");
  auto out = std::back_inserter(text);
  for (std::size_t op = 0; op < std::size_t(Operation::kCount); ++op) {
    const auto latencies = counters.latencies(Operation(op));
    const char* const name = name_of(Operation(op));
    std::uint64_t sum = 0;
    for (const auto count : latencies.counts) sum += count;
    if (sum == 0) continue;
    std::uint64_t so_far = 0;
    for (std::size_t i = 0; i + 1 < Latencies::kBuckets; ++i) {
      so_far += latencies.counts[i];
      fmt::format_to(out, "{}_bucket{{op=\"{}\",le=\"{:.9g}\"}} {}\n", kLatencyFamily, name,
                     double(Latencies::bound(i)) / kSecond, so_far);
    }
    fmt::format_to(out,
                   "{0}_bucket{{op=\"{1}\",le=\"+Inf\"}} {2}\n{0}_sum{{op=\"{1}\"}} {3:.9f}\n"
                   "{0}_count{{op=\"{1}\"}} {2}\n",
                   kLatencyFamily, name, sum, double(latencies.nanoseconds) / kSecond);
  }
}

}  // namespace

std::span<const CounterFamily> counter_families() { return kCounterFamilies; }

std::span<const GaugeFamily> gauge_families() { return kGaugeFamilies; }

std::string to_prometheus(const Counters& counters, const Gauges& gauges) {
  const std::vector<Row> rows = rows_of(counters);
  std::string text;
  for (const CounterFamily& family : kCounterFamilies) {
    add_header(text, family.name, family.help, "counter");
    for (const Row& row : rows) {
      fmt::format_to(std::back_inserter(text), "{}{{op=\"{}\",outcome=\"{}\"}} {}\n", family.name,
                     name_of(row.operation), name_of(row.outcome), row.cell.*family.value);
    }
  }
  add_latencies(text, counters);
  for (const GaugeFamily& family : kGaugeFamilies) {
    add_header(text, family.name, family.help, family.type);
    fmt::format_to(std::back_inserter(text), "{} {}\n", family.name, gauges.*family.value);
  }
  return text;
}

}  // namespace alignfs
