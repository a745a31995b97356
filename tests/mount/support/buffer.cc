#include "mount/support/buffer.h"

#include <sys/mman.h>

#include <cassert>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace alignfs::test {

AlignedBuffer::AlignedBuffer(std::size_t bytes, std::size_t excess)
    : base_(nullptr), mapped_(bytes + excess + 1), bytes_(bytes), excess_(excess) {
  void* const address =
      mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  base_ = static_cast<char*>(address);
}

AlignedBuffer::~AlignedBuffer() { munmap(base_, mapped_); }

void AlignedBuffer::fill(std::string_view content) {
  assert(content.size() <= bytes_);
  std::memcpy(data(), content.data(), content.size());
}

}  // namespace alignfs::test
