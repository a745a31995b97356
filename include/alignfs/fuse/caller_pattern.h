#pragma once

#include <sys/types.h>

#include <cstddef>

namespace alignfs {

/// What a thread that gets requests learns about those who send them: whether one caller is alone
/// with one request at a time, or has many at once. Used by one thread.
class CallerPattern {
 public:
  /// A request of `caller` has come; `company` others are in hand, or came together with it.
  void note(pid_t caller, std::size_t company);

  /// So many requests in a row were all of one caller, and each by itself.
  bool alone() const { return alone_ == kAlone; }
  /// One caller has had many requests here at once, and since then not as many by themselves.
  bool crowded() const { return crowded_; }

  static constexpr int kAlone = 16;
  static constexpr int kCrowd = 64;

 private:
  pid_t last_ = 0;
  int alone_ = 0;  ///< not counted beyond kAlone
  int crowd_ = 0;  ///< requests in company of their caller's own, less all others: 0 to kCrowd
  bool crowded_ = false;
};

}  // namespace alignfs
