#include "alignfs/ctl/wide_text.h"

#include <algorithm>
#include <cwchar>
#include <sstream>

namespace alignfs::ctl {
namespace {

constexpr wchar_t kEllipsis = L'…';

std::size_t width_of(wchar_t character) { return std::size_t(std::max(0, ::wcwidth(character))); }

/// How many characters from `start` on fit into `columns`: one at least, so that there is an end.
std::size_t fitting(std::wstring_view text, std::size_t columns) {
  std::size_t taken = 0, count = 0;
  while (count < text.size() && taken + width_of(text[count]) <= columns) {
    taken += width_of(text[count++]);
  }
  return std::max<std::size_t>(count, std::min<std::size_t>(1, text.size()));
}

void wrap(std::vector<std::wstring>& lines, std::wstring_view line, std::size_t columns) {
  const auto begin = std::min(line.find_first_not_of(L' '), line.size());
  const std::wstring indent(std::min(begin, columns / 2), L' ');
  lines.emplace_back();
  while (!line.empty()) {
    auto count = fitting(line, columns - std::min(columns, columns_of(lines.back())));
    auto next = count;
    // Rather between words, unless the first of them fills the line.
    const auto blank = count < line.size() ? line.rfind(L' ', count) : line.npos;
    if (blank != line.npos && blank > line.find_first_not_of(L' ')) {
      count = blank;
      next = blank + 1;
    }
    lines.back() += line.substr(0, count);
    line.remove_prefix(next);
    if (!line.empty()) lines.push_back(indent);
  }
}

}  // namespace

std::wstring wide(std::string_view text) {
  std::wstring result;
  std::mbstate_t state{};
  while (!text.empty()) {
    wchar_t character = 0;
    const auto bytes = std::mbrtowc(&character, text.data(), text.size(), &state);
    // 0 is a zero byte; the largest values are bytes that are no character.
    const bool valid = bytes != 0 && bytes <= text.size() && ::wcwidth(character) >= 0;
    result += valid ? character : L'?';
    if (bytes > text.size()) state = {};
    text.remove_prefix(bytes == 0 || bytes > text.size() ? 1 : bytes);
  }
  return result;
}

std::size_t columns_of(std::wstring_view text) {
  std::size_t columns = 0;
  for (const wchar_t character : text) columns += width_of(character);
  return columns;
}

std::wstring fitted(std::wstring text, std::size_t columns, Cut cut) {
  auto taken = columns_of(text);
  if (taken > columns) {
    while (!text.empty() && taken + 1 > columns) {
      const auto victim = cut == Cut::left ? text.begin() : text.end() - 1;
      taken -= width_of(*victim);
      text.erase(victim);
    }
    if (columns > 0) {
      text.insert(cut == Cut::left ? text.begin() : text.end(), kEllipsis);
      ++taken;
    }
  }
  return text + std::wstring(columns - taken, L' ');
}

std::wstring right_aligned(std::wstring text, std::size_t columns) {
  const auto taken = columns_of(text);
  if (taken > columns) return fitted(std::move(text), columns, Cut::right);
  return std::wstring(columns - taken, L' ') + text;
}

std::vector<std::wstring> wrapped(std::string_view text, std::size_t columns) {
  std::vector<std::wstring> lines;
  std::istringstream input{std::string(text)};
  for (std::string line; std::getline(input, line);) wrap(lines, wide(line), columns);
  return lines;
}

}  // namespace alignfs::ctl
