#pragma once

#include <chrono>

#include "alignfs/base/counters.h"
#include "alignfs/file/observer.h"

namespace alignfs {

/// The books of one read or write, entered where they are due when it goes out of scope: traffic,
/// outcome, and the time since its construction. A request that nobody gave an outcome has failed.
class Account {
 public:
  Account(Counters& counters, RequestObserver& observer, const Fragment& fragment)
      : counters_(counters), observer_(observer), fragment_(fragment) {}
  ~Account();
  Account(const Account&) = delete;
  Account& operator=(const Account&) = delete;

  Counters::Cell traffic{.requests = 1};
  Outcome outcome = Outcome::error;

 private:
  Counters& counters_;
  RequestObserver& observer_;
  const Fragment fragment_;
  const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

}  // namespace alignfs
