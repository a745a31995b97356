#include "mount/support/marked.h"

namespace alignfs::test {

char marked_byte(std::uint64_t place, unsigned write) {
  const auto mark = (place * 0x9e3779b97f4a7c15u) >> 60;
  return static_cast<char>((1 + write % 15) << 4 | mark);
}

std::string marked_bytes(std::uint64_t place, std::size_t count, unsigned write) {
  std::string bytes(count, '\0');
  for (std::size_t i = 0; i < count; ++i) bytes[i] = marked_byte(place + i, write);
  return bytes;
}

bool is_marked(std::uint64_t place, char byte) {
  return ((byte ^ marked_byte(place, 0)) & 0x0f) == 0 && (byte & 0xf0) != 0;
}

std::string find_unmarked(std::uint64_t place, std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != '\0' && !is_marked(place + i, bytes[i])) {
      return "at " + std::to_string(place + i) + " a byte that nobody wrote there";
    }
  }
  return "";
}

}  // namespace alignfs::test
