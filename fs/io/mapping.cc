#include "alignfs/io/mapping.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "alignfs/base/alignment.h"

namespace alignfs {
namespace {

constexpr std::uint64_t kSmallest = 1 << 20;

}  // namespace

Mapping::~Mapping() {
  ::munmap(data_, length_);
  mapper_.give_back(length_);
}

Mapper::Limits Mapper::limits_of_this_machine() {
  const auto memory = std::uint64_t(::sysconf(_SC_PHYS_PAGES)) * kPageSize;
  return {.mappings = 4096, .bytes = memory / 16 * 512, .eager_bytes = memory / 8};
}

std::uint64_t Mapper::reserve(std::uint64_t least, std::uint64_t most) {
  if (mappings_.fetch_add(1) >= limits_.mappings) {
    --mappings_;
    return 0;
  }
  auto used = bytes_.load();
  std::uint64_t length = 0;
  do {
    length = std::min(most, align_down(limits_.bytes - std::min(used, limits_.bytes), kPageSize));
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

void Mapper::advise(std::byte* data, std::uint64_t size) const {
  const auto eager = std::min(align_up(size, kPageSize), limits_.eager_bytes);
  // Hints: what the kernel does not take changes no bytes.
  switch (advice_) {
    case MapAdvice::normal: break;
    case MapAdvice::sequential: ::madvise(data, size, MADV_SEQUENTIAL); break;
    case MapAdvice::random: ::madvise(data, size, MADV_RANDOM); break;
    case MapAdvice::willneed: ::madvise(data, eager, MADV_WILLNEED); break;
  }
  if (populate_) ::madvise(data, eager, MADV_POPULATE_READ);
}

Result<std::shared_ptr<const Mapping>> Mapper::map(int fd, std::uint64_t size, std::uint64_t least,
                                                   bool writable) {
  const auto whole = align_up(std::max<std::uint64_t>(size, 1), kPageSize);
  const auto ahead = std::max(2 * whole, kSmallest);
  const auto reserved = reserve(std::min(least, whole), ahead);
  if (reserved == 0) return Error{ENFILE, "map a file: the limit of the mount is reached"};

  const int protection = PROT_READ | (writable ? PROT_WRITE : 0);
  auto length = reserved;
  void* address = ::mmap(nullptr, length, protection, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED && length > whole) {
    // Near the largest size that the filesystem has there is nothing ahead.
    length = whole;
    address = ::mmap(nullptr, length, protection, MAP_SHARED, fd, 0);
  }
  if (address == MAP_FAILED) {
    const auto error = last_error("map the backing file");
    give_back(reserved);
    return error;
  }
  bytes_ -= reserved - length;
  auto* data = static_cast<std::byte*>(address);
  // Children have no business with the file's pages, and fork() is quicker without them.
  ::madvise(data, length, MADV_DONTFORK);
  advise(data, std::min(size, length));
  return std::shared_ptr<const Mapping>(new Mapping(*this, data, length, writable));
}

}  // namespace alignfs
