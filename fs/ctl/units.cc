#include "alignfs/ctl/units.h"

#include <fmt/format.h>

#include <cmath>
#include <cstddef>

namespace alignfs::ctl {
namespace {

/// Three digits, as far as the value has no more before its point.
std::string digits(double value) {
  return fmt::format("{:.{}f}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

struct Scaled {
  double value = 0;
  std::size_t unit = 0;
};

/// In the largest of `units` units in which it is 1 at least, after rounding.
Scaled scaled(double value, double step, std::size_t units) {
  Scaled result{value, 0};
  while (result.value >= step - 0.5 && result.unit + 1 < units) {
    result.value /= step;
    ++result.unit;
  }
  return result;
}

constexpr const char* kBytes[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
constexpr const char* kShortBytes[] = {"", "K", "M", "G", "T", "P", "E"};
constexpr const char* kTimes[] = {"µs", "ms", "s"};
constexpr const char* kCounts[] = {"", "k", "M", "G", "T"};

}  // namespace

std::string plural(std::uint64_t count, const char* noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::optional<double> ratio(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return std::nullopt;
  return double(part) / double(whole);
}

std::string bytes_text(double bytes) {
  const auto [value, unit] = scaled(bytes, 1024, std::size(kBytes));
  return fmt::format("{} {}", unit == 0 ? fmt::format("{:.0f}", value) : digits(value),
                     kBytes[unit]);
}

std::string short_bytes(double bytes) {
  const auto [value, unit] = scaled(bytes, 1024, std::size(kShortBytes));
  return (unit == 0 ? fmt::format("{:.0f}", value) : digits(value)) + kShortBytes[unit];
}

std::string time_text(double nanoseconds) {
  const auto [value, unit] = scaled(nanoseconds / 1000, 1000, std::size(kTimes));
  return fmt::format("{} {}", digits(value), kTimes[unit]);
}

std::string short_time(double nanoseconds) {
  const auto [value, unit] = scaled(nanoseconds / 1000, 1000, std::size(kTimes));
  return digits(value) + kTimes[unit];
}

std::string short_count(double count) {
  const auto [value, unit] = scaled(count, 1000, std::size(kCounts));
  if (unit != 0) return digits(value) + kCounts[unit];
  const bool whole = value >= 9.95 || std::floor(value) == value;
  return fmt::format("{:.{}f}", value, whole ? 0 : 1);
}

std::string short_ratio(double ratio) {
  return ratio < 99.995 ? fmt::format("{:.2f}", ratio) : short_count(ratio);
}

}  // namespace alignfs::ctl
