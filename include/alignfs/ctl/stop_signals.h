#pragma once

#include <chrono>

namespace alignfs::ctl {

/// From its making on SIGINT and SIGTERM end a wait instead of the process, once each: where the
/// process hangs elsewhere, the second one ends it. One that was ignored stays so. One a process,
/// of its only thread.
class StopSignals {
 public:
  using Deadline = std::chrono::steady_clock::time_point;
  enum class Woken {
    time,
    input,   ///< `input` can be read, or another signal has been handled
    closed,  ///< nobody is at the other end of `input`
    stop,    ///< one of the two came, now or since the last wait
  };

  StopSignals();

  /// Waits until `deadline`, or for `input` if that is not -1.
  Woken wait(int input, Deadline deadline);
};

}  // namespace alignfs::ctl
