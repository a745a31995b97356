#pragma once

#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <iostream>
#include <iterator>
#include <random>

namespace alignfs::test {

/// The seed of this run: ALIGNFS_SEED from the environment, else a random one. Printed once, so
/// that every failure can be run again.
inline std::uint64_t seed() {
  static const std::uint64_t value = [] {
    const char* given = std::getenv("ALIGNFS_SEED");
    std::random_device device;
    const std::uint64_t chosen = given != nullptr ? std::strtoull(given, nullptr, 0)
                                                  : (std::uint64_t{device()} << 32) | device();
    std::cout << "ALIGNFS_SEED=" << chosen << std::endl;
    return chosen;
  }();
  return value;
}

/// Random numbers of one test. Not thread-safe.
class Random {
 public:
  Random() : engine_(seed()) {}

  /// A number from `low` to `high`, both included.
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    return std::uniform_int_distribution<std::uint64_t>(low, high)(engine_);
  }

  /// True once in `n`.
  bool one_in(std::uint64_t n) { return between(1, n) == 1; }

  template <typename T>
  T pick(std::initializer_list<T> choices) {
    return *std::next(choices.begin(), static_cast<std::ptrdiff_t>(between(0, choices.size() - 1)));
  }

  /// A number up to `limit`, most often on or right beside a multiple of `unit`: where mistakes
  /// live.
  std::uint64_t near_multiple(std::uint64_t unit, std::uint64_t limit) {
    if (one_in(8)) return between(0, limit);
    const std::uint64_t multiple = between(0, limit / unit) * unit;
    const std::uint64_t distance = pick<std::uint64_t>({0, 0, 0, 1, 1, 16, 100, 511, 512, 513});
    const bool below = one_in(2) && multiple >= distance;
    const std::uint64_t value = below ? multiple - distance : multiple + distance;
    return value <= limit ? value : limit;
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace alignfs::test
