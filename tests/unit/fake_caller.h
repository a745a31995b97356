#pragma once

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "../../fs/report/proc_syscall.h"

namespace alignfs {

/// A caller made of what a test puts into it.
class FakeCaller : public CallerState {
 public:
  int read_memory(std::span<const std::uint64_t> addresses, std::size_t bytes_each,
                  void* into) const override {
    auto* out = static_cast<char*>(into);
    for (const std::uint64_t address : addresses) {
      const auto found = memory.find(address);
      if (found == memory.end() || found->second.size() < bytes_each) return EFAULT;
      std::memcpy(out, found->second.data(), bytes_each);
      out += bytes_each;
    }
    return 0;
  }

  std::optional<DescriptorInfo> descriptor(int fd) const override {
    ++looks_at_descriptors;
    const auto found = descriptors.find(fd);
    if (found == descriptors.end()) return std::nullopt;
    return found->second;
  }

  void put(std::uint64_t address, const void* bytes, std::size_t size) {
    memory[address].assign(static_cast<const char*>(bytes), size);
  }

  void put_vector(std::uint64_t address, const std::vector<Segment>& segments) {
    std::vector<iovec> vector;
    for (const Segment& segment : segments) {
      vector.push_back({reinterpret_cast<void*>(segment.address), segment.length});
    }
    put(address, vector.data(), vector.size() * sizeof(iovec));
  }

  /// Lays out `requests` as io_submit takes them, with the array of pointers at `array`.
  void put_iocbs(std::uint64_t array, const std::vector<iocb>& requests) {
    std::vector<std::uint64_t> pointers;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      pointers.push_back(array + 0x10000 + 64 * i);
      put(pointers.back(), &requests[i], sizeof(iocb));
    }
    put(array, pointers.data(), pointers.size() * sizeof(std::uint64_t));
  }

  std::map<std::uint64_t, std::string> memory;
  std::map<int, DescriptorInfo> descriptors;
  mutable int looks_at_descriptors = 0;
};

constexpr std::uint64_t kHighStack = 0x7ffc12345678;

/// A line as /proc/TID/syscall prints it.
inline std::string syscall_line(long number, std::array<std::uint64_t, 6> args,
                                std::uint64_t stack = kHighStack) {
  char line[256];
  std::snprintf(line, sizeof line, "%ld 0x%lx 0x%lx 0x%lx 0x%lx 0x%lx 0x%lx 0x%lx 0x7f1122334455\n",
                number, args[0], args[1], args[2], args[3], args[4], args[5], stack);
  return line;
}

}  // namespace alignfs
