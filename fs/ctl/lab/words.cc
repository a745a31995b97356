#include "alignfs/ctl/lab/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <span>

#include "alignfs/ctl/commands.h"

namespace alignfs::ctl::lab {
namespace {

constexpr std::uint64_t kMaxTimes = 1'000'000;
constexpr std::uint64_t kMaxRows = 4096;
/// IOV_MAX of Linux.
constexpr std::size_t kMaxPieces = 1024;

unsigned shift_of(char unit) {
  switch (unit) {
    case 'k':
    case 'K': return 10;
    case 'm':
    case 'M': return 20;
    case 'g':
    case 'G': return 30;
    default: return 0;
  }
}

/// "@OFFSET", "mem+BYTES", "xTIMES". False if the word is none of them.
bool take_option(const std::string& word, Request& request) {
  const std::string_view text = word;
  if (text.starts_with('@')) {
    request.offset = parse_bytes(text.substr(1), "offset");
  } else if (text.starts_with("mem+")) {
    for (auto& piece : request.pieces) piece.past_page = parse_bytes(text.substr(4), "address");
  } else if (text.starts_with('x')) {
    request.times = parse_bytes(text.substr(1), "repetition");
  } else {
    return false;
  }
  return true;
}

const Request& checked(const Request& request) {
  if (request.times == 0 || request.times > kMaxTimes) {
    throw CommandError(fmt::format("x{} is none of x1 to x{}", request.times, kMaxTimes));
  }
  if (request.bytes() > (kMaxOffset - request.offset) / request.times) {
    throw CommandError(
        fmt::format("the request would end past the largest offset of a file, {}", kMaxOffset));
  }
  return request;
}

/// What stands before the first option: how much.
std::pair<std::string, std::vector<std::string>> amount_and_rest(
    const std::vector<std::string>& words, const char* missing) {
  const auto is_amount = [](const std::string& word) {
    return !word.empty() && word[0] >= '0' && word[0] <= '9';
  };
  const auto found = std::find_if(words.begin(), words.end(), is_amount);
  if (found == words.end()) throw CommandError(missing);
  auto rest = words;
  rest.erase(rest.begin() + (found - words.begin()));
  return {*found, std::move(rest)};
}

void take_options(const std::vector<std::string>& words, Request& request) {
  for (const auto& word : words) {
    if (!take_option(word, request)) {
      throw CommandError(
          fmt::format("'{}' is none of @OFFSET, mem+BYTES and xTIMES (help shows examples)", word));
    }
  }
}

std::vector<Piece> parse_pieces(std::string_view list) {
  std::vector<Piece> pieces;
  for (;;) {
    const auto comma = list.find(',');
    const auto text = list.substr(0, comma);
    const auto plus = text.find('+');
    pieces.push_back({parse_bytes(text.substr(0, plus), "length of a segment"),
                      plus == text.npos ? 0 : parse_bytes(text.substr(plus + 1), "address")});
    if (comma == list.npos) return pieces;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace

std::vector<std::string> split_words(std::string_view line) {
  std::vector<std::string> words;
  bool inside = false;
  char quote = '\0';
  for (const char letter : line) {
    const bool blank = letter == ' ' || letter == '\t' || letter == '\r' || letter == '\n';
    if (quote != '\0') {
      if (letter == quote) {
        quote = '\0';
      } else {
        words.back() += letter;
      }
    } else if (blank) {
      inside = false;
    } else {
      if (letter == '#' && !inside) break;
      if (!inside) words.emplace_back();
      inside = true;
      if (letter == '"' || letter == '\'') {
        quote = letter;
      } else {
        words.back() += letter;
      }
    }
  }
  if (quote != '\0') throw CommandError(fmt::format("a closing {} is missing", quote));
  return words;
}

std::uint64_t parse_bytes(std::string_view word, const char* what) {
  auto digits = word;
  const unsigned shift = digits.empty() ? 0 : shift_of(digits.back());
  if (shift != 0) digits.remove_suffix(1);
  const bool hexadecimal = digits.starts_with("0x");
  if (hexadecimal) digits.remove_prefix(2);
  std::uint64_t value = 0;
  const auto* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value, hexadecimal ? 16 : 10);
  if (digits.empty() || stop != end || error == std::errc::invalid_argument) {
    throw CommandError(
        fmt::format("'{}' is no {}: a number like 512, 0x200, 4k, 1m or 2g", word, what));
  }
  if (error != std::errc() || value > kMaxOffset >> shift) {
    throw CommandError(fmt::format("the {} {} is more than the largest offset of a file, {}", what,
                                   word, kMaxOffset));
  }
  return value << shift;
}

std::uint64_t Request::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& piece : pieces) sum += std::min(piece.bytes, kMaxOffset - sum);
  return sum;
}

Request parse_request(Direction direction, const std::vector<std::string>& words) {
  const auto [amount, rest] = amount_and_rest(
      words, "how many bytes? For example 1000, 4k or 1m (help shows more examples)");
  Request request{.direction = direction, .pieces = {{parse_bytes(amount, "length"), 0}}};
  take_options(rest, request);
  return checked(request);
}

Request parse_vector(Direction direction, const std::vector<std::string>& words) {
  const auto [amount, rest] =
      amount_and_rest(words, "which segments? For example 512,512,100 or 4k,512+16");
  Request request{.direction = direction, .vector = true, .pieces = parse_pieces(amount)};
  if (request.pieces.size() > kMaxPieces) {
    throw CommandError(fmt::format("a vector has {} segments at most", kMaxPieces));
  }
  for (const auto& word : rest) {
    if (word.starts_with("mem+")) {
      throw CommandError("in a vector each segment has an address of its own: 512+16,4k+8");
    }
  }
  take_options(rest, request);
  return checked(request);
}

Sweep parse_sweep(const std::vector<std::string>& words) {
  constexpr const char* kUsage =
      "sweep read|write mem|offset|length FROM..TO step BYTES [BYTES] [@OFFSET] [mem+BYTES]";
  constexpr std::size_t kFixed = 5;
  if (words.size() < kFixed || words[3] != "step") {
    throw CommandError(fmt::format("it goes like this: {}", kUsage));
  }
  Sweep sweep;
  if (words[0] != "read" && words[0] != "write") {
    throw CommandError(fmt::format("'{}' is neither read nor write", words[0]));
  }
  sweep.request.direction = words[0] == "read" ? Direction::read : Direction::write;
  if (words[1] == "mem") {
    sweep.varies = Sweep::Varies::memory;
  } else if (words[1] == "offset") {
    sweep.varies = Sweep::Varies::offset;
  } else if (words[1] == "length") {
    sweep.varies = Sweep::Varies::length;
  } else {
    throw CommandError(fmt::format("'{}' is none of mem, offset and length", words[1]));
  }
  const auto dots = words[2].find("..");
  if (dots == std::string::npos) {
    throw CommandError(fmt::format("'{}' is no range like 0..512", words[2]));
  }
  const std::string_view range = words[2];
  sweep.from = parse_bytes(range.substr(0, dots), "beginning");
  sweep.to = parse_bytes(range.substr(dots + 2), "end");
  sweep.step = parse_bytes(words[4], "step");
  if (sweep.to < sweep.from || sweep.step == 0) {
    throw CommandError(fmt::format("{} in steps of {} goes nowhere", words[2], words[4]));
  }
  if ((sweep.to - sweep.from) / sweep.step >= kMaxRows) {
    throw CommandError(fmt::format("that would be more than {} rows", kMaxRows));
  }
  sweep.request.pieces = {{}};
  for (const auto& word : std::span(words).subspan(kFixed)) {
    if (take_option(word, sweep.request)) continue;
    sweep.request.pieces[0].bytes = parse_bytes(word, "length");
  }
  if (sweep.request.times != 1) throw CommandError("a sweep makes each request once");
  checked(sweep.at(sweep.to));
  return sweep;
}

Request Sweep::at(std::uint64_t value) const {
  auto changed = request;
  switch (varies) {
    case Varies::memory: changed.pieces[0].past_page = value; break;
    case Varies::offset: changed.offset = value; break;
    case Varies::length: changed.pieces[0].bytes = value; break;
  }
  return changed;
}

}  // namespace alignfs::ctl::lab
