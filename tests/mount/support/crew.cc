#include "mount/support/crew.h"

#include <cerrno>
#include <exception>

namespace alignfs::test {

void Crew::add(Work work) {
  threads_.emplace_back([this, work = std::move(work)] {
    std::string wrong;
    try {
      for (unsigned round = 0; !stop_ && wrong.empty(); ++round) wrong = work(round);
    } catch (const std::exception& error) {
      wrong = error.what();
    }
    if (wrong.empty()) return;
    stop_ = true;
    const std::lock_guard guard(mutex_);
    if (complaint_.empty()) complaint_ = wrong;
  });
}

void Crew::work_for(std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (!stop_ && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

std::string Crew::finish() {
  stop_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  const std::lock_guard guard(mutex_);
  return complaint_;
}

std::string failed_call(const char* call, std::uint64_t offset, std::size_t length,
                        ssize_t result) {
  std::string text = std::string(call) + " of " + std::to_string(length) + " at " +
                     std::to_string(offset) + " gave " + std::to_string(result);
  if (result < 0) text += ", errno " + std::to_string(errno);
  return text;
}

}  // namespace alignfs::test
