#include "log_limiter.h"

#include <fmt/format.h>

#include <utility>

namespace alignfs {

std::optional<LeftOut> LogLimiter::admit(const EventKind& kind) {
  const auto now = clock_();
  const std::lock_guard lock(mutex_);
  State& state = kinds_.touch(kind);
  if (state.printed && now - *state.printed < std::chrono::seconds(1)) {
    ++state.left_out;
    return std::nullopt;
  }
  LeftOut left_out;
  left_out.events = std::exchange(state.left_out, 0);
  if (state.printed) left_out.since = now - *state.printed;
  state.printed = now;
  return left_out;
}

void LogLimiter::leave_out(const EventKind& kind) {
  const std::lock_guard lock(mutex_);
  ++kinds_.touch(kind).left_out;
}

std::string left_out_text(const LeftOut& left_out) {
  if (left_out.events == 0) return "";
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left_out.since).count();
  if (seconds < 2) {
    return fmt::format("\n  {} more like this in the last second", left_out.events);
  }
  return fmt::format("\n  {} more like this in the last {} seconds", left_out.events, seconds);
}

}  // namespace alignfs
