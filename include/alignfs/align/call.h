#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace alignfs {

enum class Direction : std::uint8_t { read, write };

/// One buffer of a program's call: an address in that program, and bytes.
struct Segment {
  std::uint64_t address = 0;
  std::uint64_t length = 0;
  bool operator==(const Segment&) const = default;
};

/// A read or write as the program made it, not as the kernel cut it.
struct Call {
  /// System call name without a prefix ("pwrite64"); a literal.
  std::string_view syscall;
  /// The program's descriptor; -1 where the call has none to show.
  int fd = -1;
  /// Byte offset in the file.
  std::uint64_t offset = 0;
  /// Bytes asked for: the sum over all segments.
  std::uint64_t length = 0;
  /// In order; more than one only for vectors.
  std::vector<Segment> segments;
};

/// What could be learnt about the call behind a request.
struct CallView {
  enum class Kind : std::uint8_t {
    seen,         ///< `call` is the program's own
    unseen,       ///< the call could not be looked at; `unseen` says why
    page_access,  ///< no read or write at all: the page cache filling or flushing a mapping
  };
  Kind kind = Kind::unseen;
  Call call;
  /// Why the buffer is not known: a sentence fragment, empty when seen.
  std::string unseen;
};

}  // namespace alignfs
