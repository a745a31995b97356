#include "alignfs/fuse/session.h"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdarg>
#include <cstring>
#include <system_error>

#include "alignfs/fuse/io_uring_offer.h"
#include "alignfs/fuse/operations.h"
#include "alignfs/fuse/page_limit.h"
#include "alignfs/fuse/queue_crew.h"
#include "alignfs/fuse/request_pace.h"
#include "alignfs/fuse/ring_crew.h"
#include "alignfs/fuse/worker.h"

namespace alignfs {
namespace {

ssize_t receive(int fd, void* buffer, std::size_t size, void*) { return ::read(fd, buffer, size); }

/// What libfuse and fusermount3 print while the mount is made, so that one line can be made of it.
class CapturedComplaints {
 public:
  CapturedComplaints() : file_(::memfd_create("complaints", MFD_CLOEXEC)), saved_(::dup(2)) {
    text_ = &lines_;
    fuse_set_log_func(&collect);
    ::dup2(file_.get(), 2);
  }
  ~CapturedComplaints() {
    ::dup2(saved_.get(), 2);
    fuse_set_log_func(&pass_to_log);
    text_ = nullptr;
  }

  /// The first complaint, without the prefix of who made it.
  std::string first_line() const {
    std::string text(4096, '\0');
    const auto length = ::pread(file_.get(), text.data(), text.size(), 0);
    text.resize(std::size_t(std::max<ssize_t>(length, 0)));
    if (text.empty()) text = lines_;
    text = text.substr(0, text.find('\n'));
    for (const std::string prefix : {"fusermount3: ", "fuse: "}) {
      if (text.starts_with(prefix)) text.erase(0, prefix.size());
    }
    return text;
  }

 private:
  static void collect(fuse_log_level, const char* format, va_list arguments) {
    char line[512];
    std::vsnprintf(line, sizeof line, format, arguments);
    if (text_ != nullptr) *text_ += line;
  }
  static void pass_to_log(fuse_log_level level, const char* format, va_list arguments) {
    char line[512];
    std::vsnprintf(line, sizeof line, format, arguments);
    line[std::strcspn(line, "\n")] = '\0';
    spdlog::log(level <= FUSE_LOG_ERR ? spdlog::level::err : spdlog::level::debug, "libfuse: {}",
                line);
  }

  static inline std::string* text_ = nullptr;
  std::string lines_;
  UniqueFd file_;
  UniqueFd saved_;
};

/// A comma would end the option; libfuse takes a backslash before it.
std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == ',' || c == '\\') result += '\\';
    result += c;
  }
  return result;
}

std::vector<std::string> session_arguments(const Filesystem& filesystem) {
  const auto& options = filesystem.options;
  std::string list =
      fmt::format("default_permissions,subtype=alignfs,max_read={}", filesystem.features.max_read);
  bool named = false;
  for (const auto& option : options.fuse) {
    named = named || option.starts_with("fsname=");
    list += "," + escaped(option);
  }
  if (!named) list += ",fsname=" + escaped(filesystem.source);
  std::vector<std::string> arguments = {"alignfs", "-o", std::move(list)};
  if (spdlog::should_log(spdlog::level::trace)) arguments.emplace_back("-d");
  return arguments;
}

}  // namespace

std::string Session::mount(const std::string& mountpoint) {
  auto arguments = session_arguments(filesystem_);
  std::vector<char*> pointers;
  for (auto& argument : arguments) pointers.push_back(argument.data());
  fuse_args args = FUSE_ARGS_INIT(int(pointers.size()), pointers.data());
  const auto operations = make_operations();

  const CapturedComplaints complaints;
  filesystem_.session = fuse_session_new(&args, &operations, sizeof operations, &filesystem_);
  // What it has left of the arguments is its own copy.
  fuse_opt_free_args(&args);
  if (filesystem_.session == nullptr) {
    return fmt::format("cannot set up the FUSE session: {}", complaints.first_line());
  }
  const kernel::RaisedPageLimit room_for_requests(filesystem_.features.max_request);
  if (const auto& room = room_for_requests.status(); !room) {
    return fmt::format("{}: {}", room.error().context, std::strerror(room.code()));
  }
  if (fuse_session_mount(filesystem_.session, mountpoint.c_str()) != 0) {
    return fmt::format("cannot mount at {}: {}", mountpoint, complaints.first_line());
  }
  mounted_ = true;
  const fuse_custom_io io{kernel::send_reply, receive, nullptr, nullptr};
  if (fuse_session_custom_io(filesystem_.session, &io, fuse_session_fd(filesystem_.session)) != 0) {
    return "cannot set up the FUSE session: out of memory";
  }
  return {};
}

void Session::process(std::span<std::byte> message) {
  message = kernel::prepare_request(message);
  fuse_buf request{};
  request.mem = message.data();
  request.size = message.size();
  fuse_session_process_buf(filesystem_.session, &request);
}

/// Answers INIT, on which everything else depends, before there are workers.
bool Session::negotiate() {
  auto lease = filesystem_.receive_buffers.acquire();
  const ssize_t size = ::read(fuse_session_fd(filesystem_.session), lease.data(),
                              filesystem_.receive_buffers.buffer_size());
  if (size <= 0) return false;
  process({lease.data(), std::size_t(size)});
  return fuse_session_exited(filesystem_.session) == 0;
}

std::string Session::start(const std::string& mountpoint) {
  // Neither the write that follows the kernel's closing of /dev/fuse may end the process, nor one
  // that a limit inherited from a shell (ulimit -f) forbids: that is the program's EFBIG.
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  for (const int signal : {SIGPIPE, SIGXFSZ}) ::sigaction(signal, &ignore, nullptr);
  gone_.reset(::eventfd(0, EFD_CLOEXEC));
  sigset_t ending;
  sigemptyset(&ending);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&ending, signal);
  ended_by_.reset(::signalfd(-1, &ending, SFD_CLOEXEC));
  if (!gone_ || !ended_by_) return fmt::format("cannot wait for signals: {}", std::strerror(errno));

  {
    const kernel::IoUringOffer offer(filesystem_.queue_entries != 0);
    if (const auto& offered = offer.status(); !offered) {
      auto complaint = filesystem_.go_without_queues(
          fmt::format("{} ({})", offered.error().context, std::strerror(offered.code())));
      if (!complaint.empty()) return complaint;
    }
    if (auto complaint = mount(mountpoint); !complaint.empty()) return complaint;
    if (!negotiate()) return "cannot agree on a protocol with the kernel's FUSE";
  }
  filesystem_.settle_passthrough();
  if (auto complaint = start_crew(); !complaint.empty()) return complaint;

  struct stat root {};
  if (::stat(mountpoint.c_str(), &root) != 0) {
    return fmt::format("mounted at {}, but it does not answer: {}", mountpoint,
                       std::strerror(errno));
  }
  return {};
}

std::string Session::start_crew() {
  const bool over_io_uring = filesystem_.features.over_io_uring;
  if (filesystem_.queue_entries != 0 && !over_io_uring) {
    auto complaint = filesystem_.go_without_queues("the kernel does not offer it (in INIT)");
    if (!complaint.empty()) return complaint;
  }
  try {
    crew_ = over_io_uring ? make_queue_crew() : make_crew();
    crew_->start();
  } catch (const std::system_error& problem) {
    if (!over_io_uring) {
      return fmt::format("cannot start {} workers: {} (-o threads= takes fewer)",
                         filesystem_.workers, problem.what());
    }
    // The kernel has been told that requests are taken by io_uring, and waits for that.
    may_do_without_queues_ = filesystem_.options.fuse_uring == MountOptions::FuseUring::automatic;
    return fmt::format("{}: {}",
                       may_do_without_queues_ ? "requests do not come by io_uring"
                                              : "option 'fuse_uring' does not take 'on' here",
                       problem.what());
  }
  return {};
}

Duties Session::duties() {
  return {.fd = fuse_session_fd(filesystem_.session),
          .max_message = kWriteHeader + filesystem_.features.max_request,
          .buffers = filesystem_.receive_buffers,
          .pace = pace_of,
          .process = [this](std::span<std::byte> message) { process(message); },
          .gone = [this] { gone(); }};
}

std::unique_ptr<Crew> Session::make_queue_crew() {
  return std::make_unique<QueueCrew>(
      duties(),
      QueueCrew::Settings{.helpers = filesystem_.workers,
                          .processors = filesystem_.processors,
                          .entries = filesystem_.queue_entries,
                          .payload = kernel::max_payload(filesystem_.features.max_request),
                          .depth = filesystem_.max_calls(),
                          .local_backing = filesystem_.local,
                          .share_processor = filesystem_.options.share_processor});
}

std::unique_ptr<Crew> Session::make_crew() {
  const unsigned threads = filesystem_.workers;
  if (!filesystem_.uses_io_uring) return std::make_unique<BlockingCrew>(duties(), threads);
  constexpr unsigned kThreadsPerReceiver = 8;
  return std::make_unique<RingCrew>(
      duties(), RingCrew::Settings{.threads = threads,
                                   .receivers = std::max(1u, threads / kThreadsPerReceiver),
                                   .depth = filesystem_.max_calls(),
                                   .poll = filesystem_.options.poll,
                                   .share_processor = filesystem_.options.share_processor,
                                   .local_backing = filesystem_.local});
}

void Session::gone() {
  const std::uint64_t one = 1;
  if (::write(gone_.get(), &one, sizeof one) < 0) {
    spdlog::error("eventfd: {}", std::strerror(errno));
  }
}

void Session::run() {
  pollfd sources[] = {{ended_by_.get(), POLLIN, 0}, {gone_.get(), POLLIN, 0}};
  while (::poll(sources, 2, -1) < 0 && errno == EINTR) {
  }
  if ((sources[0].revents & POLLIN) != 0) spdlog::info("signal received, unmounting");
}

Session::~Session() {
  // Who waits for events is answered while there is somebody to send the answers.
  filesystem_.control.shut_down();
  crew_.reset();
  if (filesystem_.session == nullptr) return;
  filesystem_.close_files();
  // Not before the workers are gone: it closes /dev/fuse, whose number could then be somebody
  // else's.
  if (mounted_) fuse_session_unmount(filesystem_.session);
  fuse_session_destroy(filesystem_.session);
  filesystem_.session = nullptr;
}

}  // namespace alignfs
