#include "mount/support/bytes.h"

#include <algorithm>

namespace alignfs::test {

std::string pattern(std::size_t bytes, std::uint64_t seed) {
  std::string text(bytes, '\0');
  std::uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (char& byte : text) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<char>(state >> 56);
  }
  return text;
}

::testing::AssertionResult same_bytes(std::string_view actual, std::string_view expected) {
  if (actual == expected) return ::testing::AssertionSuccess();
  const std::size_t common = std::min(actual.size(), expected.size());
  std::size_t first = common;
  std::size_t different = 0;
  for (std::size_t i = 0; i < common; ++i) {
    if (actual[i] == expected[i]) continue;
    first = std::min(first, i);
    ++different;
  }
  return ::testing::AssertionFailure()
         << actual.size() << " bytes instead of " << expected.size() << ", the first difference at "
         << first << ", " << different << " of the common bytes differ";
}

}  // namespace alignfs::test
