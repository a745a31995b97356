#pragma once

#include <optional>
#include <string>
#include <vector>

#include "alignfs/ctl/screen.h"
#include "alignfs/ctl/top_model.h"

/// How alignctl top shows its figures. Pure; the locale must be one of UTF-8.
namespace alignfs::ctl {

/// "bytes written": what the table is sorted by.
const char* name_of(Column column);

/// A table of `width` columns. Where there is no room for all, those at the right go, the path
/// never.
class TopTable {
 public:
  /// `seconds` as TopModel::seconds().
  TopTable(Grouping grouping, Column sorted_by, std::optional<double> seconds, std::size_t width);

  Line heading() const;
  Line line(const TopRow& row, bool selected) const;

 private:
  struct Place {
    Column column;
    std::size_t width;
  };

  std::string cell(const TopRow& row, Column column) const;

  Grouping grouping_;
  Column sorted_by_;
  double seconds_;  ///< that figures are divided by
  std::vector<Place> places_;
};

/// One line about all rows together.
std::string summary_of(const TopModel& model);

}  // namespace alignfs::ctl
