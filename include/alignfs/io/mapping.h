#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "alignfs/base/map_advice.h"
#include "alignfs/base/result.h"

namespace alignfs {

class Mapper;

/// The first bytes of a file, mapped shared for reading. Immutable: never moved or grown, so that
/// whoever holds a pointer may use it beside others. It may reach beyond the end of file, and any
/// page of it may vanish at any time: read it by copy_guarded() alone.
class Mapping {
 public:
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  const std::byte* data() const { return data_; }
  /// Bytes, a multiple of the page.
  std::uint64_t length() const { return length_; }

 private:
  friend class Mapper;
  Mapping(Mapper& mapper, std::byte* data, std::uint64_t length)
      : mapper_(mapper), data_(data), length_(length) {}

  Mapper& mapper_;
  std::byte* const data_;
  const std::uint64_t length_;
};

/// Makes the mappings of one mount and keeps them within bounds. Thread-safe; outlives its
/// mappings.
class Mapper {
 public:
  struct Limits {
    /// Mappings that exist at one time.
    std::size_t mappings;
    /// Address space of all mappings. Page tables take up to 1/512 of it.
    std::uint64_t bytes;
    /// What populate brings in of one file at most. (Of willneed the kernel takes no more than it
    /// reads ahead at one time.)
    std::uint64_t eager_bytes;
  };
  /// 4096 mappings, or half of the areas that the kernel allows a process (vm.max_map_count);
  /// address space for which page tables take 1/16 of the memory; 1/8 of the memory. Memory is that
  /// of the machine, or of the control group if that is less.
  static Limits limits_of_this_machine();

  Mapper(MapAdvice advice, bool populate, const Limits& limits)
      : advice_(advice), populate_(populate), limits_(limits) {}

  /// Maps the file at `fd`, which has `size` bytes, and some room ahead of it: as much again, at
  /// least 1 MiB and at most 1 GiB, so that a file that grows is mapped anew a few times only. One
  /// file gets a quarter of the address space that is left at most, and then it is the beginning of
  /// the file, of `least` bytes or more. ENFILE if the limits are reached, else the errno of
  /// mmap(2): ENODEV where the file cannot be mapped.
  Result<std::shared_ptr<const Mapping>> map(int fd, std::uint64_t size, std::uint64_t least);

  /// False if map() would only give ENFILE for that `least`.
  bool has_room(std::uint64_t least) const;

  /// Tells the kernel how the mapping of a file of `size` bytes will be used. With populate it
  /// takes as long as reading the file does.
  void advise(const Mapping& mapping, std::uint64_t size) const;

  std::size_t mappings() const { return mappings_; }
  std::uint64_t mapped_bytes() const { return bytes_; }

 private:
  friend class Mapping;
  /// Address space of one mapping, of at least `least` and at most `most` bytes; 0 if there is
  /// none.
  std::uint64_t reserve(std::uint64_t least, std::uint64_t most);
  void give_back(std::uint64_t length);
  /// What one mapping may take where `used` bytes are taken.
  std::uint64_t share_of_rest(std::uint64_t used) const;

  const MapAdvice advice_;
  const bool populate_;
  const Limits limits_;
  std::atomic<std::size_t> mappings_{0};
  std::atomic<std::uint64_t> bytes_{0};
};

}  // namespace alignfs
