#include "alignfs/io/mapping.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <string>

#include "alignfs/base/alignment.h"

namespace alignfs {
namespace {

constexpr std::uint64_t kLeastAhead = 1 << 20;
constexpr std::uint64_t kMostAhead = 1 << 30;

/// The number in the file at `path`; `otherwise` where there is none ("max").
std::uint64_t number_in(const std::string& path, std::uint64_t otherwise) {
  std::uint64_t number = 0;
  return std::ifstream(path) >> number ? number : otherwise;
}

/// Bytes that this process may come to use.
std::uint64_t memory_size() {
  const auto machine = std::uint64_t(::sysconf(_SC_PHYS_PAGES)) * kPageSize;
  // "0::/path" names the control group of the unified hierarchy.
  std::string group;
  for (std::ifstream groups("/proc/self/cgroup"); std::getline(groups, group);) {
    if (group.starts_with("0::")) {
      return std::min(machine,
                      number_in("/sys/fs/cgroup" + group.substr(3) + "/memory.max", machine));
    }
  }
  return machine;
}

}  // namespace

Mapping::~Mapping() {
  ::munmap(data_, length_);
  mapper_.give_back(length_);
}

Mapper::Limits Mapper::limits_of_this_machine() {
  const auto memory = memory_size();
  const auto areas = number_in("/proc/sys/vm/max_map_count", 65530);
  return {.mappings = std::min<std::size_t>(4096, areas / 2),
          .bytes = memory / 16 * 512,
          .eager_bytes = memory / 8};
}

std::uint64_t Mapper::share_of_rest(std::uint64_t used) const {
  return align_down((limits_.bytes - std::min(used, limits_.bytes)) / 4, kPageSize);
}

bool Mapper::has_room(std::uint64_t least) const {
  return mappings_ < limits_.mappings &&
         share_of_rest(bytes_) >= std::max<std::uint64_t>(least, kPageSize);
}

std::uint64_t Mapper::reserve(std::uint64_t least, std::uint64_t most) {
  if (mappings_.fetch_add(1) >= limits_.mappings) {
    --mappings_;
    return 0;
  }
  auto used = bytes_.load();
  std::uint64_t length = 0;
  do {
    length = std::min(most, share_of_rest(used));
    if (length < least || length == 0) {
      --mappings_;
      return 0;
    }
  } while (!bytes_.compare_exchange_weak(used, used + length));
  return length;
}

void Mapper::give_back(std::uint64_t length) {
  bytes_ -= length;
  --mappings_;
}

Result<std::shared_ptr<const Mapping>> Mapper::map(int fd, std::uint64_t size,
                                                   std::uint64_t least) {
  const auto whole = align_up(std::clamp<std::uint64_t>(size, 1, limits_.bytes), kPageSize);
  const auto ahead = whole + std::clamp(whole, kLeastAhead, kMostAhead);
  const auto reserved = reserve(std::min(least, whole), ahead);
  if (reserved == 0) return Error{ENFILE, "map a file: the limit of the mount is reached"};

  void* const address = ::mmap(nullptr, reserved, PROT_READ, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) {
    const auto error = last_error("map the backing file");
    give_back(reserved);
    return error;
  }
  return std::shared_ptr<const Mapping>(
      new Mapping(*this, static_cast<std::byte*>(address), reserved));
}

void Mapper::advise(const Mapping& mapping, std::uint64_t size) const {
  const auto eager = std::min(
      {align_up(size, kPageSize), mapping.length(), align_down(limits_.eager_bytes, kPageSize)});
  // Hints: what the kernel does not take changes no bytes.
  switch (advice_) {
    case MapAdvice::normal: break;
    case MapAdvice::sequential: ::madvise(mapping.data_, mapping.length_, MADV_SEQUENTIAL); break;
    case MapAdvice::random: ::madvise(mapping.data_, mapping.length_, MADV_RANDOM); break;
    case MapAdvice::willneed: ::madvise(mapping.data_, eager, MADV_WILLNEED); break;
  }
  if (populate_) ::madvise(mapping.data_, eager, MADV_POPULATE_READ);
}

}  // namespace alignfs
