#include "alignfs/report/printable.h"

#include <cstddef>
#include <cstdint>

namespace alignfs {
namespace {

struct Decoded {
  std::uint32_t point = 0;
  std::size_t bytes = 0;  ///< 0: no UTF-8
};

/// Decodes the sequence at the start of `text`, which is not empty. Overlong forms, surrogates and
/// values beyond U+10FFFF are refused: a terminal may take them for something else.
Decoded decode(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return {first, 1};
  const std::size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < bytes) return {};
  std::uint32_t point = first & (0x7fU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xc0U) != 0x80U) return {};
    point = point << 6U | (next & 0x3fU);
  }
  constexpr std::uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = point >= 0xd800 && point <= 0xdfff;
  if (point < kSmallest[bytes] || point > 0x10ffff || surrogate) return {};
  return {point, bytes};
}

bool is_harmless(std::uint32_t point) {
  if (point < 0x20 || (point >= 0x7f && point < 0xa0)) return false;  // C0, DEL, C1
  if (point == 0x061c || (point >= 0x200e && point <= 0x200f)) return false;
  if (point >= 0x2028 && point <= 0x202e) return false;  // line ends, direction overrides
  return point < 0x2066 || point > 0x2069;               // direction isolates
}

void add_escaped(std::string& out, char byte) {
  constexpr char kDigits[] = "0123456789abcdef";
  const auto value = static_cast<unsigned char>(byte);
  out += "\\x";
  out += kDigits[value >> 4U];
  out += kDigits[value & 0xfU];
}

std::string escape(std::string_view raw, std::string_view backslash) {
  std::string out;
  out.reserve(raw.size());
  while (!raw.empty()) {
    const Decoded decoded = decode(raw);
    const std::size_t bytes = decoded.bytes == 0 ? 1 : decoded.bytes;
    if (raw[0] == '\\') {
      out += backslash;
    } else if (decoded.bytes != 0 && is_harmless(decoded.point)) {
      out += raw.substr(0, bytes);
    } else {
      for (const char byte : raw.substr(0, bytes)) add_escaped(out, byte);
    }
    raw.remove_prefix(bytes);
  }
  return out;
}

}  // namespace

std::string printable(std::string_view raw) { return escape(raw, R"(\\)"); }

std::string harmless(std::string_view line) { return escape(line, R"(\)"); }

}  // namespace alignfs
