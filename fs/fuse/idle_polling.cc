#include "alignfs/fuse/idle_polling.h"

namespace alignfs {
namespace {

/// How many requests in a row must be alone with the backing until there is one caller only.
constexpr unsigned kCompanyMemory = 16;

}  // namespace

void IdlePolling::sent_to_backing(bool alone) {
  if (!alone) {
    in_company();
  } else if (company_ != 0) {
    --company_;
  }
}

void IdlePolling::in_company() { company_ = kCompanyMemory; }

bool IdlePolling::looks_again(Clock::time_point now) {
  if (!last_gap_was_short_ || (!caller_goes_on_ && company_ == 0)) return false;
  if (!idle_since_) idle_since_ = now;
  last_gap_was_short_ = now - *idle_since_ < limit_;
  return last_gap_was_short_;
}

void IdlePolling::slept(Clock::duration gap) {
  last_gap_was_short_ = gap < limit_;
  idle_since_.reset();
}

}  // namespace alignfs
