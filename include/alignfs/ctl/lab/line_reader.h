#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace alignfs::ctl::lab {

/// Lines from the standard input: on a terminal with editing, history and completion, else as they
/// come. One at a time in a process: the editing library keeps its state in globals.
class LineReader {
 public:
  /// Gives what may stand where the last of the words typed so far does.
  using Complete = std::function<std::vector<std::string>(const std::vector<std::string>&)>;

  explicit LineReader(Complete complete);
  /// Keeps the history for the next time, in the user's state directory.
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  bool on_terminal() const { return on_terminal_; }
  /// Without its end; nothing at the end of input, or when an end was asked for by a signal.
  std::optional<std::string> next();

 private:
  const bool on_terminal_;
  std::string history_;  ///< a path; "" where there is no place for it
};

}  // namespace alignfs::ctl::lab
