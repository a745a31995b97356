#pragma once

#include <sys/resource.h>

#include <cerrno>
#include <system_error>

namespace alignfs::test {

/// While it lives, the soft limit of a resource of this process, and of those it starts, is
/// another.
class SoftLimit {
 public:
  /// Throws std::system_error where it cannot be had. The hard limit stays.
  SoftLimit(__rlimit_resource_t resource, rlim_t limit) : resource_(resource) {
    getrlimit(resource_, &before_);
    const rlimit now{limit, before_.rlim_max};
    if (setrlimit(resource_, &now) != 0) {
      throw std::system_error(errno, std::generic_category(), "setrlimit");
    }
  }
  ~SoftLimit() { setrlimit(resource_, &before_); }
  SoftLimit(const SoftLimit&) = delete;
  SoftLimit& operator=(const SoftLimit&) = delete;

 private:
  const __rlimit_resource_t resource_;
  rlimit before_{};
};

}  // namespace alignfs::test
