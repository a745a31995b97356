#include "alignfs/ctl/top_model.h"

#include <algorithm>
#include <set>
#include <utility>

#include "alignfs/ctl/units.h"

namespace alignfs::ctl {
namespace {

/// Nothing where the sums have shrunk, because a thread of the process was forgotten in between:
/// what the others moved cannot be told.
Moved difference(Moved now, const Moved& before) {
  if (!now.covers(before)) return {};
  return now -= before;
}

/// By what the column shows, where that is a figure. Where there is none, it is less than any.
double figure(const TopRow& row, Column column) {
  constexpr double kNone = -1;
  switch (column) {
    case Column::reads: return double(row.read.requests);
    case Column::writes: return double(row.write.requests);
    case Column::bytes_read: return double(row.read.bytes);
    case Column::bytes_written: return double(row.write.bytes);
    case Column::below: {
      const auto moved = row.moved();
      return double(moved.backing_read + moved.backing_write);
    }
    case Column::amplification: return amplification(row.moved()).value_or(kNone);
    case Column::adapted: return adapted_share(row.moved()).value_or(kNone);
    case Column::refused: return double(row.refused);
    case Column::latency: return mean_latency(row.moved()).value_or(kNone);
    default: return 0;
  }
}

bool comes_before(const TopRow& one, const TopRow& other, Column column) {
  switch (column) {
    case Column::pid: break;
    case Column::comm:
      if (one.comm != other.comm) return one.comm < other.comm;
      break;
    case Column::path:
      if (one.path != other.path) return one.path < other.path;
      break;
    default:
      const double its = figure(one, column), others = figure(other, column);
      if (its != others) return its > others;
  }
  return std::tie(one.pid, one.path, one.comm) < std::tie(other.pid, other.path, other.comm);
}

}  // namespace

Moved TopRow::moved() const {
  auto both = read;
  return both += write;
}

Subject TopRow::subject(Grouping grouping) const {
  Subject subject;
  if (grouping != Grouping::file) subject.pid = pid;
  if (grouping != Grouping::process) subject.path = path;
  return subject;
}

std::optional<double> amplification(const Moved& moved) {
  return ratio(moved.backing_read + moved.backing_write, moved.bytes);
}

std::optional<double> adapted_share(const Moved& moved) {
  return ratio(moved.adapted, moved.requests);
}

std::optional<double> mean_latency(const Moved& moved) {
  return ratio(moved.nanoseconds, moved.requests);
}

void TopModel::take(const Activity& look, double seconds) {
  std::map<Key, std::pair<const ActivityRow*, std::uint64_t>> before;
  // Sums of another watch say nothing about these.
  const bool comparable = look.watch == last_.watch;
  if (comparable) {
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      before[key_of(last_.rows[i])] = {&last_.rows[i], rows_[i].refused};
    }
  }
  std::vector<TopRow> rows;
  for (const auto& its : look.rows) {
    TopRow row{
        .pid = its.pid, .comm = its.comm, .path = its.path, .read = its.read, .write = its.write};
    if (const auto found = before.find(key_of(its)); found != before.end()) {
      const auto& [earlier, refused] = found->second;
      row.read = difference(its.read, earlier->read);
      row.write = difference(its.write, earlier->write);
      row.refused = refused;
    }
    const auto refused = row.moved().rejected;
    row.refused += refused;
    refused_ += refused;
    rows.push_back(std::move(row));
  }
  rows_ = std::move(rows);
  last_ = look;
  seconds_ = comparable ? std::optional(seconds) : std::nullopt;
}

Moved TopModel::total() const {
  Moved sum;
  for (const auto& row : rows_) sum += row.moved();
  return sum;
}

std::vector<TopRow> TopModel::grouped(Grouping grouping) const {
  if (grouping == Grouping::both) return rows_;
  struct Group {
    TopRow row;
    std::set<pid_t> processes;
    std::set<std::string> files;
  };
  std::map<std::pair<pid_t, std::string>, Group> groups;
  for (const auto& row : rows_) {
    const bool by_process = grouping == Grouping::process;
    auto [found, is_new] = groups.try_emplace(
        {by_process ? row.pid : 0, by_process ? "" : row.path}, Group{row, {}, {}});
    auto& group = found->second;
    group.processes.insert(row.pid);
    group.files.insert(row.path);
    if (is_new) continue;
    group.row.read += row.read;
    group.row.write += row.write;
    group.row.refused += row.refused;
  }
  std::vector<TopRow> result;
  for (auto& [key, group] : groups) {
    group.row.processes = group.processes.size();
    group.row.files = group.files.size();
    result.push_back(std::move(group.row));
  }
  return result;
}

std::vector<TopRow> TopModel::rows(Grouping grouping, Column sorted_by) const {
  auto rows = grouped(grouping);
  std::stable_sort(rows.begin(), rows.end(), [&](const TopRow& one, const TopRow& other) {
    return comes_before(one, other, sorted_by);
  });
  return rows;
}

std::optional<std::size_t> find_row(const std::vector<TopRow>& rows, Grouping grouping,
                                    const Subject& subject) {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const TopRow& row) {
    return row.subject(grouping) == subject;
  });
  if (found == rows.end()) return std::nullopt;
  return std::size_t(found - rows.begin());
}

}  // namespace alignfs::ctl
