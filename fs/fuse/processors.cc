#include "alignfs/fuse/processors.h"

#include <cstdio>
#include <fstream>
#include <string>
#include <utility>

namespace alignfs::kernel {
namespace {

/// Numbers listed in a file as ranges: "0-3" or "0,2-5". Empty if it says nothing of the kind.
std::vector<unsigned> numbers_in(const char* path) {
  std::ifstream file(path);
  std::vector<unsigned> numbers;
  for (std::string range; std::getline(file, range, ',');) {
    unsigned first = 0, last = 0;
    const int found = std::sscanf(range.c_str(), "%u-%u", &first, &last);
    if (found < 1) return {};
    for (unsigned number = first; number <= (found == 2 ? last : first); ++number) {
      numbers.push_back(number);
    }
  }
  return numbers;
}

}  // namespace

Processors processors() {
  const auto possible = numbers_in("/sys/devices/system/cpu/possible");
  auto online = numbers_in("/sys/devices/system/cpu/online");
  // The kernel counts the queues and does not look for gaps.
  std::erase_if(online, [&](unsigned number) { return number >= possible.size(); });
  if (online.empty()) return {};
  return {unsigned(possible.size()), std::move(online)};
}

}  // namespace alignfs::kernel
