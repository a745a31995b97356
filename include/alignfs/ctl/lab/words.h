#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "alignfs/align/call.h"

/// The lab: a shell to try unaligned I/O by hand. What people type is taken apart here, without
/// I/O. What cannot be understood throws CommandError with a sentence.
namespace alignfs::ctl::lab {

/// The largest offset in a file.
constexpr std::uint64_t kMaxOffset = (std::uint64_t(1) << 63U) - 1;

/// The words of one line. Quotes, single or double, keep blanks; "#" begins a comment.
std::vector<std::string> split_words(std::string_view line);

/// "4096", "0x1000", "4k", "1m", "2g": a number of bytes, in powers of 1024. `what` names it where
/// it is none, or more than kMaxOffset.
std::uint64_t parse_bytes(std::string_view word, const char* what);

/// A buffer: bytes, and how many of them past a page boundary it begins.
struct Piece {
  std::uint64_t bytes = 0;
  std::uint64_t past_page = 0;
  bool operator==(const Piece&) const = default;
};

/// A read or write as it was typed.
struct Request {
  Direction direction = Direction::read;
  /// By preadv(2) or pwritev(2), however many pieces there are.
  bool vector = false;
  bool append = false;
  std::vector<Piece> pieces;
  std::uint64_t offset = 0;
  std::uint64_t times = 1;  ///< one after the other, each behind the one before

  std::uint64_t bytes() const;
};

/// The words behind "read" and "write": BYTES [@OFFSET] [mem+BYTES] [xTIMES], in any order.
Request parse_request(Direction direction, const std::vector<std::string>& words);
/// Behind "readv" and "writev": BYTES[+PAST_PAGE],... [@OFFSET] [xTIMES].
Request parse_vector(Direction direction, const std::vector<std::string>& words);

/// Behind "sweep": read|write mem|offset|length FROM..TO step BYTES [BYTES] [@OFFSET] [mem+BYTES].
struct Sweep {
  enum class Varies : std::uint8_t { memory, offset, length };
  Varies varies = Varies::memory;
  std::uint64_t from = 0, to = 0, step = 0;
  /// What stays the same. Its length is 0 where none was given.
  Request request;

  /// The request with `value` in its place.
  Request at(std::uint64_t value) const;
};
Sweep parse_sweep(const std::vector<std::string>& words);

}  // namespace alignfs::ctl::lab
