#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "alignfs/base/unique_fd.h"

namespace alignfs::ctl {

/// One line of .alignfs/events (docs/events.md).
using Event = nlohmann::ordered_json;

/// Reads events one by one. Not thread-safe.
class EventReader {
 public:
  /// `fd` is .alignfs/events, open for reading without waiting.
  explicit EventReader(UniqueFd fd) : fd_(std::move(fd)) {}

  /// The next one; nothing where no other is kept. CommandError where they cannot be read.
  std::optional<Event> next();

 private:
  UniqueFd fd_;
  std::string pending_;
};

/// The explanation as the log has it; the last line ends without a newline.
std::string text_of(const Event& event);
/// Its first line without the program's name in front.
std::string headline_of(const Event& event);
/// The time and `text`: how explanations are shown one after the other.
std::string dated(const Event& event, const std::string& text);
/// A field that may be null, as text.
std::string field(const Event& event, const char* name);

}  // namespace alignfs::ctl
