#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace alignfs {

/// How long a request may occupy the thread that carries it out.
struct Pace {
  enum class Kind : std::uint8_t {
    at_once,        ///< nothing is waited for
    leaves_thread,  ///< an asynchronous engine takes it over
    may_wait,       ///< short as a rule, but the backing may make it long
    waits,          ///< written out to the media, or as long as a file is
  };
  Kind kind = Kind::may_wait;
  /// Its payload may still be needed when its handler has returned.
  bool keeps_buffer = false;
  /// Somebody waits for the answer; not so where the kernel tidies up, or tells.
  bool awaited = true;
  /// The thread that asks, as the kernel states it.
  pid_t caller = 0;
  /// The node whose writes wait for one another in the backing, if this is one of them; else 0.
  std::uint64_t takes_turns_at = 0;
};

/// The pace of a message from /dev/fuse that has not been carried out yet.
Pace pace_of(std::span<const std::byte> message);

}  // namespace alignfs
