#include "alignfs/ctl/top_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "alignfs/ctl/units.h"
#include "alignfs/ctl/wide_text.h"
#include "alignfs/report/printable.h"

namespace alignfs::ctl {
namespace {

struct Spec {
  Column column;
  const char* title;
  const char* name;
  std::size_t width;
  bool is_figure;
};

// In the order of Column.
constexpr Spec kSpecs[] = {
    {Column::pid, "PID", "process id", 7, true},
    {Column::comm, "COMMAND", "command", 8, false},
    {Column::reads, "RD", "reads", 5, true},
    {Column::writes, "WR", "writes", 5, true},
    {Column::bytes_read, "RBYTE", "bytes read", 5, true},
    {Column::bytes_written, "WBYTE", "bytes written", 5, true},
    {Column::below, "BELOW", "bytes below", 5, true},
    {Column::amplification, "AMPL", "amplification", 5, true},
    {Column::adapted, "ADPT", "share adapted", 4, true},
    {Column::refused, "REF", "refused", 4, true},
    {Column::latency, "MEAN", "mean latency", 6, true},
    {Column::path, "PATH", "path", 6, false},
};
static_assert(std::size(kSpecs) == std::size_t(Column::kCount));

/// A program's name has at most 15 bytes (PR_SET_NAME).
constexpr std::size_t kLongestComm = 15;
/// The path has this much before the program's name gets more than it needs at least.
constexpr std::size_t kPathFirst = 24;

constexpr const char* kNone = "-";

const Spec& spec_of(Column column) { return kSpecs[std::size_t(column)]; }

std::string percent(double share) { return fmt::format("{:.0f}%", share * 100); }

}  // namespace

const char* name_of(Column column) { return spec_of(column).name; }

TopTable::TopTable(Grouping grouping, Column sorted_by, std::optional<double> seconds,
                   std::size_t width)
    : grouping_(grouping), sorted_by_(sorted_by), seconds_(seconds.value_or(1)) {
  const auto& path = spec_of(Column::path);
  std::size_t taken = path.width;
  for (const auto& spec : kSpecs) {
    if (spec.column == Column::path) break;
    // A file has many processes.
    if (spec.column == Column::pid && grouping == Grouping::file) continue;
    if (taken + spec.width + 1 > width) break;
    places_.push_back({spec.column, spec.width});
    taken += spec.width + 1;
  }
  auto left = path.width + (width - std::min(width, taken));
  for (auto& place : places_) {
    if (place.column != Column::comm || left <= kPathFirst) continue;
    const auto more = std::min(kLongestComm - place.width, left - kPathFirst);
    place.width += more;
    left -= more;
  }
  places_.push_back({Column::path, std::min(left, width)});
}

Line TopTable::heading() const {
  Line line;
  for (const auto& place : places_) {
    if (!line.empty()) line.push_back({L" "});
    const auto& spec = spec_of(place.column);
    const auto title = wide(spec.title);
    const auto style = place.column == sorted_by_ ? Style::reverse : Style::bold;
    line.push_back({spec.is_figure ? right_aligned(title, place.width)
                                   : fitted(title, place.width, Cut::right),
                    style});
  }
  return line;
}

Line TopTable::line(const TopRow& row, bool selected) const {
  std::wstring text;
  for (const auto& place : places_) {
    if (!text.empty()) text += L' ';
    const auto value = wide(cell(row, place.column));
    const auto cut = place.column == Column::path ? Cut::left : Cut::right;
    text += spec_of(place.column).is_figure ? right_aligned(value, place.width)
                                            : fitted(value, place.width, cut);
  }
  return {{std::move(text), selected ? Style::reverse : Style::plain}};
}

std::string TopTable::cell(const TopRow& row, Column column) const {
  const auto moved = row.moved();
  const auto or_none = [](std::optional<double> value, std::string (*format)(double)) {
    return value ? format(*value) : std::string(kNone);
  };
  switch (column) {
    case Column::pid: return row.pid == 0 ? kNone : std::to_string(row.pid);
    case Column::comm:
      if (row.processes > 1) return fmt::format("{} procs", row.processes);
      return row.comm.empty() ? kNone : printable(row.comm);
    case Column::reads: return short_count(double(row.read.requests) / seconds_);
    case Column::writes: return short_count(double(row.write.requests) / seconds_);
    case Column::bytes_read: return short_bytes(double(row.read.bytes) / seconds_);
    case Column::bytes_written: return short_bytes(double(row.write.bytes) / seconds_);
    case Column::below:
      return short_bytes(double(moved.backing_read + moved.backing_write) / seconds_);
    case Column::amplification: return or_none(amplification(moved), short_ratio);
    case Column::adapted: return or_none(adapted_share(moved), percent);
    case Column::refused: return short_count(double(row.refused));
    case Column::latency: return or_none(mean_latency(moved), short_time);
    case Column::path:
      if (row.files > 1) return fmt::format("{} files", row.files);
      return printable(row.path);
    case Column::kCount: break;
  }
  return "";
}

std::string summary_of(const TopModel& model) {
  const auto total = model.total();
  const double seconds = model.seconds().value_or(1);
  const char* const per = model.seconds() ? "/s" : "";
  const auto amplified = amplification(total);
  const auto adapted = adapted_share(total);
  return fmt::format(
      "{} requests{}  {}{}  {}{} below  amplified {}  adapted {}  refused {}{}",
      short_count(double(total.requests) / seconds), per, bytes_text(double(total.bytes) / seconds),
      per, bytes_text(double(total.backing_read + total.backing_write) / seconds), per,
      amplified ? short_ratio(*amplified) : kNone, adapted ? percent(*adapted) : kNone,
      model.refused(), model.seconds() ? "" : "  (sums so far)");
}

}  // namespace alignfs::ctl
