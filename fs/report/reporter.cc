#include "alignfs/report/reporter.h"

#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <climits>
#include <mutex>
#include <new>
#include <optional>
#include <string_view>
#include <utility>

#include "alignfs/report/activity.h"
#include "alignfs/report/caller.h"
#include "log_limiter.h"
#include "lru_map.h"
#include "terminal.h"

namespace alignfs {
namespace {

constexpr std::size_t kRememberedDevices = 256;

std::optional<std::string> link_target(const char* path) {
  char target[PATH_MAX];
  const ssize_t length = readlink(path, target, sizeof target);
  if (length < 0) return std::nullopt;
  return std::string(target, std::size_t(length));
}

/// The kernel marks the name of a file that has none left. A file may also be called so.
void strip_deleted(int fd, std::string& path) {
  constexpr std::string_view kDeleted = " (deleted)";
  struct stat facts {};
  if (path.ends_with(kDeleted) && fstat(fd, &facts) == 0 && facts.st_nlink == 0) {
    path.resize(path.size() - kDeleted.size());
  }
}

}  // namespace

std::string device_name(dev_t device) {
  // Filesystems without a disk of their own have numbers that lead nowhere.
  const std::string link =
      "/sys/dev/block/" + std::to_string(major(device)) + ":" + std::to_string(minor(device));
  const auto target = link_target(link.c_str());
  return target ? target->substr(target->rfind('/') + 1) : "";
}

struct Reporter::Impl {
  explicit Impl(ReporterOptions given)
      : options(std::move(given)), ring(options.events), log(options.events) {}

  std::string path_of(int backing_fd) const;
  std::string device_of(dev_t device);
  bool is_news(dev_t device, Fallback reason);
  Activity::Name name_parties(const Fragment& fragment);
  Event describe(Action action, const Fragment& fragment, Process process);
  void tell(spdlog::level::level_enum level, const EventKind& kind, Event event, bool alone = true);

  const ReporterOptions options;
  EventRing ring;
  LastErrors last_errors;
  ProcessCache processes;
  LogLimiter log;
  Activity activity{[this](const Fragment& fragment) { return name_parties(fragment); }};

  std::mutex mutex;
  LruMap<dev_t, std::optional<std::string>> device_names{kRememberedDevices};
  LruMap<dev_t, unsigned> reported_fallbacks{kRememberedDevices};
};

std::string Reporter::Impl::path_of(int backing_fd) const {
  if (backing_fd < 0) return "";
  auto path = link_target(("/proc/self/fd/" + std::to_string(backing_fd)).c_str());
  if (!path) return "";
  strip_deleted(backing_fd, *path);
  const std::string& source = options.source;
  if (*path == source) return "/";
  // A file that was moved out of SOURCE has no path on the mount, and keeps its own.
  if (path->starts_with(source) && (*path)[source.size()] == '/') path->erase(0, source.size());
  return *std::move(path);
}

std::string Reporter::Impl::device_of(dev_t device) {
  const std::lock_guard lock(mutex);
  auto& name = device_names.touch(device);
  if (!name) name = device_name(device);
  return *name;
}

bool Reporter::Impl::is_news(dev_t device, Fallback reason) {
  const std::lock_guard lock(mutex);
  auto& reported = reported_fallbacks.touch(device);
  const auto bit = 1u << unsigned(reason);
  return (std::exchange(reported, reported | bit) & bit) == 0;
}

Activity::Name Reporter::Impl::name_parties(const Fragment& fragment) {
  const auto process = processes.find(fragment.requester.tid, fragment.requester.uid);
  return {process.pid, process.comm, path_of(fragment.backing_fd)};
}

Event Reporter::Impl::describe(Action action, const Fragment& fragment, Process process) {
  Event event;
  event.action = action;
  event.direction = fragment.direction;
  event.process = std::move(process);
  event.path = path_of(fragment.backing_fd);
  event.file = fragment.file;
  event.device = device_of(fragment.file.device);
  return event;
}

/// Publishes what stands alone, and then logs it: the log may take its time.
void Reporter::Impl::tell(spdlog::level::level_enum level, const EventKind& kind, Event event,
                          bool alone) {
  const bool shown = options.terminals && event.action == Action::rejected;
  std::string text;
  if (shown || spdlog::should_log(level)) {
    if (const auto left_out = log.admit(kind)) text = to_text(event) + left_out_text(*left_out);
  }
  const pid_t pid = event.process.pid;
  if (alone) ring.publish(kind, std::move(event));
  if (text.empty()) return;
  spdlog::log(level, "{}", text);
  if (shown) show_on_terminal_of(pid, text);
}

Reporter::Reporter(ReporterOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}

Reporter::~Reporter() = default;

CallView Reporter::observe(const Fragment& fragment) { return observe_call(fragment); }

void Reporter::judged(Action action, const Fragment& fragment, const CallView& view,
                      const Rules& rules, const Diagnosis& diagnosis) {
  const Requester& requester = fragment.requester;
  Process process = impl_->processes.find(requester.tid, requester.uid);
  const EventKind kind{process.pid, fragment.file, fragment.direction, action, diagnosis.broken};
  const bool alone = impl_->ring.admit(kind);
  // A merged refusal is worded all the same: the last error is the newest, whatever the rate.
  Event event = impl_->describe(action, fragment, std::move(process));
  event.view = view;
  event.rules = rules;
  event.diagnosis = diagnosis;
  const bool refused = action == Action::rejected;
  if (refused) event.error = EINVAL;
  if (refused) impl_->last_errors.remember(fragment.file, requester.uid, to_text(event));
  impl_->tell(refused ? spdlog::level::warn : spdlog::level::debug, kind, std::move(event), alone);
}

void Reporter::adapted(Action action, const Fragment& fragment, const Rules& rules) {
  const Requester& requester = fragment.requester;
  Process process = impl_->processes.find(requester.tid, requester.uid);
  Call as_delivered;
  as_delivered.offset = fragment.offset;
  as_delivered.length = fragment.length;
  const EventKind kind{process.pid, fragment.file, fragment.direction, action,
                       diagnose(as_delivered, rules).broken};
  if (!impl_->ring.admit(kind)) {
    impl_->log.leave_out(kind);
    return;
  }
  CallView view = observe_call(fragment);
  if (view.kind == CallView::Kind::page_access) return;
  const Diagnosis diagnosis = diagnose(view.call, rules);
  if (diagnosis.legal()) return;
  Event event = impl_->describe(action, fragment, std::move(process));
  event.view = std::move(view);
  event.rules = rules;
  event.diagnosis = diagnosis;
  impl_->tell(spdlog::level::debug, kind, std::move(event));
}

void Reporter::fallback(Fallback reason, const Fragment& opened, const Rules& rules) {
  if (!impl_->is_news(opened.file.device, reason)) return;
  const Requester& requester = opened.requester;
  Event event = impl_->describe(Action::fallback, opened,
                                impl_->processes.find(requester.tid, requester.uid));
  event.rules = rules;
  event.cause = reason;
  const EventKind kind = kind_of(event);
  if (!impl_->ring.admit(kind)) return;
  impl_->tell(spdlog::level::warn, kind, std::move(event));
}

void Reporter::served(const Fragment& fragment, const Served& served) {
  try {
    impl_->activity.note(fragment, served);
  } catch (const std::bad_alloc&) {
    // The request was served; that one is missing in an account is no reason to fail it.
  }
}

std::string Reporter::activity() { return impl_->activity.look(); }

EventRing& Reporter::ring() { return impl_->ring; }

const LastErrors& Reporter::last_errors() const { return impl_->last_errors; }

void Reporter::forget_errors(const FileId& file) { impl_->last_errors.forget(file); }

}  // namespace alignfs
