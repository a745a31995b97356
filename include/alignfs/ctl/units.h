#pragma once

#include <cstdint>
#include <optional>
#include <string>

/// Figures for people. Arguments are not negative.
namespace alignfs::ctl {

/// "1 call", "2 calls".
std::string plural(std::uint64_t count, const char* noun);

/// Nothing of nothing.
std::optional<double> ratio(std::uint64_t part, std::uint64_t whole);

/// "1000 B", "40.0 KiB", "1.25 GiB".
std::string bytes_text(double bytes);
/// "0.87 µs", "410 µs", "1.20 ms", "3.00 s".
std::string time_text(double nanoseconds);

/// For narrow columns: "1000", "40.0K", "1.25G" of bytes.
std::string short_bytes(double bytes);
/// "410µs".
std::string short_time(double nanoseconds);
/// "0.5", "12", "12.3k", "1.25M".
std::string short_count(double count);
/// "81.92", "120", "4.10k".
std::string short_ratio(double ratio);

}  // namespace alignfs::ctl
