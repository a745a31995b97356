#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/types.h>

#include <vector>

namespace alignfs {

/// Where thread `tid` may run; 0 is the calling one.
inline cpu_set_t affinity(pid_t tid = 0) {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_EQ(::sched_getaffinity(tid, sizeof set, &set), 0);
  return set;
}

inline cpu_set_t only(unsigned processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  return set;
}

/// Those that thread `tid` may run on.
inline std::vector<unsigned> processors(pid_t tid = 0) {
  const auto set = affinity(tid);
  std::vector<unsigned> list;
  for (unsigned i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &set)) list.push_back(i);
  }
  return list;
}

/// Binds the calling thread.
inline void stay_on(unsigned processor) {
  const auto set = only(processor);
  EXPECT_EQ(::sched_setaffinity(0, sizeof set, &set), 0);
}

}  // namespace alignfs
