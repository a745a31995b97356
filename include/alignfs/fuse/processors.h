#pragma once

#include <vector>

namespace alignfs::kernel {

/// Processors of the machine, and so queues of FUSE over io_uring: the kernel has one for each and
/// waits for a place in all of them before it uses any.
struct Processors {
  /// All that the machine may ever have. 0 if it does not tell.
  unsigned possible = 0;
  /// Numbers of those that it has, in ascending order.
  std::vector<unsigned> online;
};
Processors processors();

}  // namespace alignfs::kernel
