#include "alignfs/file/account.h"

namespace alignfs {

Account::~Account() {
  const auto operation =
      fragment_.direction == Direction::read ? Operation::read : Operation::write;
  const std::chrono::nanoseconds time = std::chrono::steady_clock::now() - begun_;
  counters_.add(operation, outcome, traffic);
  counters_.took(operation, time);
  observer_.served(fragment_, {outcome, traffic, time});
}

}  // namespace alignfs
