#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "alignfs/align/call.h"
#include "alignfs/base/unique_fd.h"
#include "alignfs/ctl/lab/words.h"

namespace alignfs::ctl::lab {

/// How the lab opens its file.
struct OpenHow {
  bool direct = true;  ///< O_DIRECT
  bool read_only = false;
  int durability = 0;  ///< 0, O_DSYNC or O_SYNC

  /// "direct dsync", as it was typed.
  std::string text() const;
};

/// What a system call came to.
struct Outcome {
  Call call;               ///< what was asked of the kernel, buffers included
  std::int64_t bytes = 0;  ///< what it gave, if error is 0
  int error = 0;           ///< errno
  std::chrono::nanoseconds time{0};
  std::uint64_t calls = 1;
  std::int64_t all_bytes = 0;  ///< of all calls

  /// It was refused, and none before it was taken.
  bool refused() const;
};

/// Anonymous memory that begins on a page boundary. Move-only.
class Pages {
 public:
  Pages() = default;
  /// CommandError where there is not as much memory.
  explicit Pages(std::uint64_t bytes);
  ~Pages();
  Pages(Pages&& other) noexcept;
  Pages& operator=(Pages&& other) noexcept;

  std::byte* data() const { return data_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// The buffers of a request, where it wants them in memory.
class Buffers {
 public:
  explicit Buffers(const Request& request);
  void fill(char letter);
  /// In the order of the pieces.
  std::vector<Segment> segments() const;

 private:
  std::vector<Piece> pieces_;
  std::vector<std::uint64_t> places_;  ///< from the beginning of pages_
  Pages pages_;
};

/// A regular file that real system calls are made on, one at a time. Nothing is written that was
/// not asked for. Not thread-safe.
class LabFile {
 public:
  /// CommandError where it cannot be opened, or is no regular file.
  LabFile(std::string path, const OpenHow& how);

  const std::string& path() const { return path_; }
  const OpenHow& how() const { return how_; }
  int fd() const { return fd_.get(); }
  std::uint64_t size() const;

  /// Makes the calls of the request until one fails, is short, or an interrupt comes: the last,
  /// with the time of all.
  Outcome transfer(const Request& request, const Buffers& buffers);
  Outcome truncate(std::uint64_t size);
  Outcome sync();

  /// Bytes of the file, read by a descriptor of its own without O_DIRECT, whole pages at a time; up
  /// to the end of file.
  std::string bytes_at(std::uint64_t offset, std::uint64_t length) const;

 private:
  Outcome call(const Request& request, const Buffers& buffers, std::uint64_t offset);

  std::string path_;
  OpenHow how_;
  UniqueFd fd_;
};

/// A shared mapping of a part of a file. Not thread-safe.
class LabMap {
 public:
  /// CommandError with the reason where the kernel refuses.
  LabMap(const LabFile& file, std::uint64_t offset, std::uint64_t length);
  ~LabMap();
  LabMap(const LabMap&) = delete;
  LabMap& operator=(const LabMap&) = delete;

  std::uint64_t offset() const { return offset_; }
  std::uint64_t length() const { return length_; }

  // `offset` is one of the file, and must lie in the map. CommandError where the file has no page
  // there: a program would be ended by SIGBUS.
  void poke(std::uint64_t offset, const std::string& bytes);
  std::string peek(std::uint64_t offset, std::uint64_t length) const;
  Outcome sync();

 private:
  std::byte* at(std::uint64_t offset, std::uint64_t length) const;

  std::uint64_t offset_, length_;
  bool writable_;
  std::byte* data_ = nullptr;
};

/// The line of the call and of what it came to: "pwrite(fd 3, ...) = EINVAL (...), 12 µs".
std::string outcome_text(const Outcome& outcome);
std::string time_text(std::chrono::nanoseconds time);

}  // namespace alignfs::ctl::lab
