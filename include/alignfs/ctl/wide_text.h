#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

/// Text by the columns that it takes on a terminal. The locale must be one of UTF-8.
namespace alignfs::ctl {

/// UTF-8 decoded. What is none, and what takes no place of its own on a terminal but drives it,
/// becomes '?'.
std::wstring wide(std::string_view text);

/// How many columns it takes.
std::size_t columns_of(std::wstring_view text);

enum class Cut { left, right };  ///< which end gives way

/// Cut to `columns`, with an ellipsis in place of what is missing, and filled up with blanks
/// behind it.
std::wstring fitted(std::wstring text, std::size_t columns, Cut cut);
/// Right-aligned; cut at its right.
std::wstring right_aligned(std::wstring text, std::size_t columns);

/// `text`, lines included, in lines of at most `columns`; those that continue another one begin
/// like it with blanks, as far as there is room.
std::vector<std::wstring> wrapped(std::string_view text, std::size_t columns);

}  // namespace alignfs::ctl
