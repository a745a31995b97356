#include "alignfs/ctl/stats_report.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>

#include "alignfs/base/utc_time.h"
#include "alignfs/ctl/units.h"

namespace alignfs::ctl {
namespace {

using Json = nlohmann::ordered_json;

struct Percentile {
  const char* name;
  double share;
};
constexpr Percentile kPercentiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};

/// What nothing is known of.
constexpr const char* kNone = "-";

OperationStats reads_and_writes(const Stats& stats) {
  auto both = stats.of(Operation::read);
  return both += stats.of(Operation::write);
}

std::uint64_t adapted(const OperationStats& operation) {
  return operation.of(Outcome::bounced).requests + operation.of(Outcome::split).requests;
}

bool moves_bytes(const Counters::Cell& cell) {
  return cell.bytes != 0 || cell.backing_read != 0 || cell.backing_write != 0;
}

void add_row(std::string& text, const char* name, const OperationStats& operation) {
  const auto total = operation.total();
  const auto bytes = [&](std::uint64_t count) {
    return moves_bytes(total) ? bytes_text(double(count)) : kNone;
  };
  const auto amplified = amplification(total);
  auto out = std::back_inserter(text);
  fmt::format_to(out, "{:<9} {:>10} {:>10} {:>11} {:>13} {:>10}", name, total.requests,
                 bytes(total.bytes), bytes(total.backing_read), bytes(total.backing_write),
                 amplified ? fmt::format("{:.2f}", *amplified) : kNone);
  for (const auto& wanted : kPercentiles) {
    const auto time = percentile(operation.latencies, wanted.share);
    fmt::format_to(out, " {:>8}", time ? time_text(*time) : kNone);
  }
  text += '\n';
}

std::string table_of(const Stats& stats) {
  std::string rows;
  for (std::size_t i = 0; i < stats.operations.size(); ++i) {
    if (stats.operations[i].total().requests == 0) continue;
    add_row(rows, name_of(Operation(i)), stats.operations[i]);
  }
  if (rows.empty()) return "no requests\n";
  auto text = fmt::format("{:<9} {:>10} {:>10} {:>11} {:>13} {:>10}", "operation", "requests",
                          "bytes", "read below", "written below", "amplified");
  for (const auto& each : kPercentiles) text += fmt::format(" {:>8}", each.name);
  return text + '\n' + rows;
}

/// How the reads and writes ended, and how much of them the page cache below has seen.
std::string summary_of(const Stats& stats) {
  const auto both = reads_and_writes(stats);
  const auto total = both.total();
  const auto adapted_share = ratio(adapted(both), total.requests);
  if (!adapted_share) return "nothing was read or written\n";
  return fmt::format(
      "adapted     {} of {} reads and writes ({:.1f}%): {} bounced, {} split\n"
      "refused     {}\n"
      "failed      {}\n"
      "fell back   {}\n"
      "page cache  {} of {} below\n",
      adapted(both), total.requests, *adapted_share * 100, both.of(Outcome::bounced).requests,
      both.of(Outcome::split).requests, both.of(Outcome::rejected).requests,
      both.of(Outcome::error).requests, both.of(Outcome::fallback).requests,
      bytes_text(double(total.page_cache)),
      bytes_text(double(total.backing_read + total.backing_write)));
}

std::string gauges_text(const Gauges& gauges) {
  return fmt::format(
      "open files  {}\n"
      "inodes      {}\n"
      "buffers     {}\n"
      "mappings    {} of {}\n"
      "events      {}\n",
      gauges.open_files, gauges.inodes, bytes_text(double(gauges.buffer_bytes)), gauges.mappings,
      bytes_text(double(gauges.mapped_bytes)), gauges.events_published);
}

Json number_or_null(const std::optional<double>& number) {
  return number ? Json(*number) : Json(nullptr);
}

Json whole_or_null(const std::optional<double>& number) {
  return number ? Json(std::llround(*number)) : Json(nullptr);
}

Json outcomes_of(const OperationStats& operation) {
  Json object;
  for (std::size_t i = 0; i < operation.cells.size(); ++i) {
    object[name_of(Outcome(i))] = operation.cells[i].requests;
  }
  return object;
}

Json to_json(const OperationStats& operation) {
  const auto total = operation.total();
  Json object{{"requests", total.requests},
              {"outcomes", outcomes_of(operation)},
              {"bytes", total.bytes},
              {"backing_read", total.backing_read},
              {"backing_write", total.backing_write},
              {"page_cache", total.page_cache},
              {"amplification", number_or_null(amplification(total))}};
  Json times{{"mean", whole_or_null(mean(operation.latencies))}};
  for (const auto& wanted : kPercentiles) {
    times[wanted.name] = whole_or_null(percentile(operation.latencies, wanted.share));
  }
  object["nanoseconds"] = std::move(times);
  return object;
}

}  // namespace

std::string stats_text(const Stats& stats, const Span& span) {
  const auto of = span.seconds ? fmt::format("in {:.2f} s", *span.seconds) : "since the mount";
  return fmt::format("{}  {}\n{}{}{}", utc_time(span.end), of, table_of(stats), summary_of(stats),
                     gauges_text(stats.gauges));
}

std::string stats_json(const Stats& stats, const Span& span) {
  auto operations = Json::object();
  for (std::size_t i = 0; i < stats.operations.size(); ++i) {
    if (stats.operations[i].total().requests == 0) continue;
    operations[name_of(Operation(i))] = to_json(stats.operations[i]);
  }
  const auto both = reads_and_writes(stats);
  const auto& gauges = stats.gauges;
  return Json{{"time", utc_time(span.end)},
              {"seconds", number_or_null(span.seconds)},
              {"operations", std::move(operations)},
              {"adapted", adapted(both)},
              {"adapted_share", number_or_null(ratio(adapted(both), both.total().requests))},
              {"open_files", gauges.open_files},
              {"inodes", gauges.inodes},
              {"buffer_bytes", gauges.buffer_bytes},
              {"mappings", gauges.mappings},
              {"mapped_bytes", gauges.mapped_bytes},
              {"events", gauges.events_published}}
      .dump();
}

}  // namespace alignfs::ctl
