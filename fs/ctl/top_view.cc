#include "alignfs/ctl/top_view.h"

#include <fmt/format.h>

#include <algorithm>

#include "alignfs/ctl/top_table.h"
#include "alignfs/ctl/wide_text.h"
#include "alignfs/report/printable.h"

namespace alignfs::ctl {
namespace {

constexpr const char* kHelp =
    "q quit  s S sort  p processes  f files  b both  j k select  Enter explanation  h back";
constexpr const char* kPaneHelp = "Esc back  j k scroll";

/// Above the rows: title, sums, headings. Below them: a line.
constexpr std::size_t kAbove = 3, kBelow = 1;

const char* name_of(Grouping grouping) {
  switch (grouping) {
    case Grouping::process: return "process";
    case Grouping::file: return "file";
    case Grouping::both: break;
  }
  return "process and file";
}

Line across(const std::string& text, std::size_t width, Style style) {
  return {{fitted(wide(text), width, Cut::right), style}};
}

/// Puts `last` into the lowest of `height` lines.
void add_at_bottom(std::vector<Line>& lines, std::size_t height, Line last) {
  lines.resize(height);
  if (height > 0) lines.back() = std::move(last);
}

std::string heading_for(const TopRow& row, Grouping grouping) {
  std::string text = "The newest explanation";
  if (grouping != Grouping::file) {
    text += fmt::format(" for {}[{}]", printable(row.comm), row.pid);
  }
  if (grouping != Grouping::process) text += fmt::format(" on {}", printable(row.path));
  return text;
}

}  // namespace

bool TopView::press(int key) {
  if (pane_) return press_on_pane(key);
  const auto rows = model_.rows(grouping_, sorted_by_);
  const auto at = std::ptrdiff_t(selected(rows)), page = std::ptrdiff_t(page_);
  switch (key) {
    case 'q': return false;
    case 's': sort_by_next(1); break;
    case 'S': sort_by_next(-1); break;
    case 'p': group_by(Grouping::process); break;
    case 'f': group_by(Grouping::file); break;
    case 'b': group_by(Grouping::both); break;
    case 'h':
    case '?': help_ = !help_; break;
    case 'k':
    case kUp: move_to(at - 1); break;
    case 'j':
    case kDown: move_to(at + 1); break;
    case kPageUp: move_to(at - page); break;
    case kPageDown: move_to(at + page); break;
    case kFirst: move_to(0); break;
    case kLast: move_to(std::ptrdiff_t(rows.size())); break;
    case kEnter: open_pane(); break;
    default: break;
  }
  return true;
}

bool TopView::press_on_pane(int key) {
  auto& line = pane_->first_line;
  switch (key) {
    case 'q':
    case kEscape: pane_.reset(); break;
    case 'k':
    case kUp: line -= std::min<std::size_t>(line, 1); break;
    case 'j':
    case kDown: ++line; break;
    case kPageUp: line -= std::min(line, page_); break;
    case kPageDown: line += page_; break;
    default: break;
  }
  return true;
}

void TopView::group_by(Grouping grouping) {
  if (grouping != grouping_) chosen_.reset();
  grouping_ = grouping;
}

void TopView::sort_by_next(int step) {
  constexpr int kCount = int(Column::kCount);
  sorted_by_ = Column((int(sorted_by_) + step + kCount) % kCount);
}

void TopView::move_to(std::ptrdiff_t row) {
  const auto rows = model_.rows(grouping_, sorted_by_);
  if (rows.empty()) return;
  const auto position = std::clamp<std::ptrdiff_t>(row, 0, std::ptrdiff_t(rows.size()) - 1);
  chosen_ = rows[std::size_t(position)].subject(grouping_);
}

void TopView::open_pane() {
  const auto rows = model_.rows(grouping_, sorted_by_);
  if (rows.empty()) return;
  const auto& row = rows[selected(rows)];
  pane_ = Pane{heading_for(row, grouping_), explain_(row.subject(grouping_))};
}

std::size_t TopView::selected(const std::vector<TopRow>& rows) const {
  if (!chosen_ || rows.empty()) return 0;
  // One that is gone leaves the selection where it was.
  return find_row(rows, grouping_, *chosen_).value_or(std::min(last_position_, rows.size() - 1));
}

std::vector<Line> TopView::lines(std::size_t height, std::size_t width) {
  return pane_ ? pane_lines(height, width) : table_lines(height, width);
}

std::vector<Line> TopView::table_lines(std::size_t height, std::size_t width) {
  const auto rows = model_.rows(grouping_, sorted_by_);
  const TopTable table(grouping_, sorted_by_, model_.seconds(), width);
  std::vector<Line> lines{across(title_, width, Style::bold),
                          across(summary_of(model_), width, Style::plain), table.heading()};
  page_ = std::max(height, kAbove + kBelow + 1) - kAbove - kBelow;
  last_position_ = selected(rows);
  first_row_ = std::min(first_row_, last_position_);
  if (last_position_ >= first_row_ + page_) first_row_ = last_position_ - page_ + 1;
  for (auto i = first_row_; i < std::min(rows.size(), first_row_ + page_); ++i) {
    lines.push_back(table.line(rows[i], i == last_position_));
  }
  if (rows.empty()) lines.push_back(across("nothing was read or written yet", width, Style::plain));
  add_at_bottom(lines, height, across(footer(), width, Style::reverse));
  return lines;
}

std::vector<Line> TopView::pane_lines(std::size_t height, std::size_t width) {
  const auto text = wrapped(pane_->text, std::max<std::size_t>(width, 1));
  page_ = std::max<std::size_t>(height, 3) - 2;
  pane_->first_line = std::min(pane_->first_line, text.size() - std::min(text.size(), page_));
  std::vector<Line> lines{across(pane_->title, width, Style::reverse)};
  for (auto i = pane_->first_line; i < std::min(text.size(), pane_->first_line + page_); ++i) {
    lines.push_back({{text[i]}});
  }
  add_at_bottom(lines, height, across(kPaneHelp, width, Style::reverse));
  return lines;
}

std::string TopView::footer() const {
  if (help_) return kHelp;
  auto text =
      fmt::format("by {}, sorted by {}  h help", name_of(grouping_), ctl::name_of(sorted_by_));
  if (const auto left_out = model_.forgotten(); left_out != 0) {
    text += fmt::format("  {} more left out", left_out);
  }
  return text;
}

}  // namespace alignfs::ctl
