#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace alignfs::test {

/// Threads that repeat what they are given until they are told to stop, or until one of them has
/// something to complain about. The first complaint is kept.
class Crew {
 public:
  /// Repeats `work(round)`, which returns what was wrong, or "".
  using Work = std::function<std::string(unsigned round)>;

  ~Crew() { finish(); }
  Crew() = default;
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  void add(Work work);
  /// Lets them work for this long, or until the first complaint.
  void work_for(std::chrono::milliseconds time);
  /// Ends them and gives the first complaint, "" if there was none.
  std::string finish();
  bool stopping() const { return stop_; }

 private:
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::string complaint_;
  std::vector<std::thread> threads_;
};

/// "pread of 100 at 4096 gave -1, errno 5"
std::string failed_call(const char* call, std::uint64_t offset, std::size_t length, ssize_t result);

}  // namespace alignfs::test
