#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

namespace alignfs {

/// What one program has moved of one file in one direction: the sums of a row of .alignfs/activity
/// (docs/activity.md), for who writes them and for who reads them. A value.
struct Moved {
  std::uint64_t requests = 0;
  std::uint64_t bytes = 0;          ///< asked for and got
  std::uint64_t backing_read = 0;   ///< bytes
  std::uint64_t backing_write = 0;  ///< bytes
  std::uint64_t page_cache = 0;     ///< bytes of these two that went through the page cache below
  std::uint64_t adapted = 0;        ///< requests bounced or split
  std::uint64_t rejected = 0;
  std::uint64_t errors = 0;
  std::uint64_t nanoseconds = 0;  ///< the time that all requests took

  Moved& operator+=(const Moved& more);
  Moved& operator-=(const Moved& earlier);
  /// Nothing of it is less: false where the daemon began to count anew.
  bool covers(const Moved& earlier) const;
  bool operator==(const Moved&) const = default;
};

nlohmann::ordered_json to_json(const Moved& moved);
/// What `object` has not is 0.
Moved moved_in(const nlohmann::json& object);

}  // namespace alignfs
