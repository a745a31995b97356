#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "alignfs/ctl/screen.h"
#include "alignfs/ctl/top_model.h"

namespace alignfs::ctl {

/// The window of alignctl top: what it shows, and what keys do to it. A value; knows no terminal.
class TopView {
 public:
  /// The newest explanation for a row, as text.
  using Explain = std::function<std::string(const Subject&)>;

  /// `title` is the first line.
  TopView(std::string title, Explain explain)
      : title_(std::move(title)), explain_(std::move(explain)) {}

  void take(const Activity& look, double seconds) { model_.take(look, seconds); }

  /// A character or Key was typed. False if that ends it.
  bool press(int key);

  /// `height` lines of `width` columns; fewer where there is nothing to show.
  std::vector<Line> lines(std::size_t height, std::size_t width);

 private:
  /// The explanation that covers the table.
  struct Pane {
    std::string title, text;
    std::size_t first_line = 0;
  };

  bool press_on_pane(int key);
  void group_by(Grouping grouping);
  void sort_by_next(int step);
  void move_to(std::ptrdiff_t row);
  void open_pane();
  std::size_t selected(const std::vector<TopRow>& rows) const;
  std::vector<Line> table_lines(std::size_t height, std::size_t width);
  std::vector<Line> pane_lines(std::size_t height, std::size_t width);
  std::string footer() const;

  std::string title_;
  Explain explain_;
  TopModel model_;
  Grouping grouping_ = Grouping::both;
  Column sorted_by_ = Column::below;
  /// The row that was selected stays so wherever it goes; until one was, it is the first.
  std::optional<Subject> chosen_;
  std::size_t last_position_ = 0;
  std::size_t first_row_ = 0, page_ = 1;  ///< the part of the table that is seen
  bool help_ = false;
  std::optional<Pane> pane_;
};

}  // namespace alignfs::ctl
