#pragma once

#include <string>
#include <string_view>

namespace alignfs {

/// `raw` made safe for one line of a log or a terminal: control characters, text direction
/// overrides, line separators and bytes that are no UTF-8 become \xNN a byte, a backslash becomes
/// two. Everything else stays as it is. File names and process names are chosen by strangers.
std::string printable(std::string_view raw);

/// The same for a line that may hold such names made safe already: backslashes stay as they are.
std::string harmless(std::string_view line);

}  // namespace alignfs
