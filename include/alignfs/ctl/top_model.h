#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "alignfs/ctl/activity.h"
#include "alignfs/ctl/explanations.h"

namespace alignfs::ctl {

enum class Grouping { both, process, file };

/// What a table can be sorted by, in the order of the columns.
enum class Column {
  pid,
  comm,
  reads,
  writes,
  bytes_read,
  bytes_written,
  below,
  amplification,
  adapted,
  refused,
  latency,
  path,
  kCount
};

/// A process on a file, a process or a file.
struct TopRow {
  pid_t pid = 0;
  std::string comm, path;  ///< of one of them where the row stands for several
  std::size_t processes = 1, files = 1;
  Moved read, write;          ///< between the last two looks
  std::uint64_t refused = 0;  ///< since the first look

  /// Both directions.
  Moved moved() const;
  /// Whose explanations belong to the row.
  Subject subject(Grouping grouping) const;
};

/// What follows from sums; nothing where nothing was moved.
std::optional<double> amplification(const Moved& moved);
std::optional<double> adapted_share(const Moved& moved);
/// Nanoseconds a request.
std::optional<double> mean_latency(const Moved& moved);

/// What moved between the last two looks at a mount's activity. A value; knows no screen.
class TopModel {
 public:
  /// Takes in a look, `seconds` after the one before.
  void take(const Activity& look, double seconds);

  /// Of the last two looks. Nothing where the last one has none to be compared with: then all
  /// figures are sums since counting began.
  std::optional<double> seconds() const { return seconds_; }
  /// All rows together.
  Moved total() const;
  /// Since the first look, those of rows that are gone included.
  std::uint64_t refused() const { return refused_; }
  /// Rows that the mount left out for want of room.
  std::uint64_t forgotten() const { return last_.forgotten; }

  /// Figures and shares begin with the largest, names and ids with the smallest.
  std::vector<TopRow> rows(Grouping grouping, Column sorted_by) const;

 private:
  using Key = std::tuple<pid_t, std::string, std::string>;
  static Key key_of(const ActivityRow& row) { return {row.pid, row.comm, row.path}; }
  std::vector<TopRow> grouped(Grouping grouping) const;

  Activity last_;
  std::optional<double> seconds_;
  std::vector<TopRow> rows_;  ///< a process on a file each
  std::uint64_t refused_ = 0;
};

/// Where the row of `subject` stands; nothing where it is gone.
std::optional<std::size_t> find_row(const std::vector<TopRow>& rows, Grouping grouping,
                                    const Subject& subject);

}  // namespace alignfs::ctl
