#pragma once

#include <ctime>

namespace alignfs {

/// CLOCK_MONOTONIC_COARSE: a tick's resolution, and hardly a cost.
inline timespec coarse_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now;
}

}  // namespace alignfs
