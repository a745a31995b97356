#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <string_view>

#include "mount/support/fixture.h"

namespace alignfs::test {

/// A way to mount under which a test runs: the same test code, another way of the bytes.
struct Mode {
  const char* name;     ///< fit to be part of a test's name
  const char* options;  ///< for -o
  /// Requests that O_DIRECT would refuse are refused.
  bool strict = false;
  /// The kernel serves reads and writes; the daemon sees none of them.
  bool passthrough = false;

  /// O_DIRECT where a file opened with it takes any request all the same, else 0: with passthrough
  /// the kernel opens the backing with the program's own flags, and it is a bare disk's O_DIRECT.
  int lenient_direct() const { return passthrough ? 0 : O_DIRECT; }
  bool is_mapped() const { return std::string_view(options) == "mode=mapped"; }
  std::string with(const std::string& more) const { return std::string(options) + "," + more; }
};

inline std::ostream& operator<<(std::ostream& out, const Mode& mode) { return out << mode.name; }

inline constexpr Mode kBounce{"bounce", "unaligned=bounce"};
inline constexpr Mode kSplit{"split", "unaligned=split"};
inline constexpr Mode kReject{"reject", "unaligned=reject", true};
inline constexpr Mode kMapped{"mapped", "mode=mapped"};
inline constexpr Mode kBuffered{"buffered", "mode=buffered"};
inline constexpr Mode kMappedPassthrough{"mapped_passthrough", "mode=mapped,passthrough", false,
                                         true};
inline constexpr Mode kBufferedPassthrough{"buffered_passthrough", "mode=buffered,passthrough",
                                           false, true};

inline constexpr Mode kEveryMode[] = {
    kBounce, kSplit, kReject, kMapped, kBuffered, kMappedPassthrough, kBufferedPassthrough};
/// Those that take a request however it is aligned.
inline constexpr Mode kLenientModes[] = {
    kBounce, kSplit, kMapped, kBuffered, kMappedPassthrough, kBufferedPassthrough};
/// One of each way that bytes can go: for tests too slow to run seven times.
inline constexpr Mode kEachWay[] = {kBounce, kSplit, kMapped, kBuffered, kMappedPassthrough};

/// Mount tests that run once for each mode; the last argument of INSTANTIATE_TEST_SUITE_P is
/// mode_name.
class ModeTest : public MountTest, public ::testing::WithParamInterface<Mode> {
 protected:
  static bool strict() { return GetParam().strict; }
};

inline std::string mode_name(const ::testing::TestParamInfo<Mode>& info) { return info.param.name; }

}  // namespace alignfs::test
