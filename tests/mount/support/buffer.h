#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace alignfs::test {

/// Memory that starts exactly `excess` bytes past a page boundary, zeroed.
class AlignedBuffer {
 public:
  explicit AlignedBuffer(std::size_t bytes, std::size_t excess = 0);
  ~AlignedBuffer();
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;

  char* data() const { return base_ + excess_; }
  std::size_t size() const { return bytes_; }
  std::uint64_t address() const { return reinterpret_cast<std::uint64_t>(data()); }
  std::string_view view(std::size_t bytes) const { return {data(), bytes}; }
  std::string text(std::size_t bytes) const { return std::string(view(bytes)); }

  /// Copies `content` to the start. Requires that it fits.
  void fill(std::string_view content);

 private:
  char* base_;
  std::size_t mapped_;
  std::size_t bytes_;
  std::size_t excess_;
};

}  // namespace alignfs::test
