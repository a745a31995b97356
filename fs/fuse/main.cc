#include <fmt/format.h>
#include <getopt.h>
#include <malloc.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "alignfs/base/log.h"
#include "alignfs/base/options.h"
#include "alignfs/fuse/daemon.h"
#include "alignfs/fuse/filesystem.h"
#include "alignfs/fuse/mount_checks.h"
#include "alignfs/fuse/session.h"

namespace alignfs {
namespace {

constexpr int kMountFailed = 1;
constexpr int kWrongCommandLine = 2;

constexpr const char* kUsage =
    "usage: alignfs [-f] [-d] [-o option[,option...]] SOURCE MOUNTPOINT\n";

constexpr const char* kHelp = R"(
Mounts the directory SOURCE at MOUNTPOINT; programs there do direct I/O (or mapped, as mode= says),
and a request that O_DIRECT would refuse is made to work, or refused with an explanation.

  -f  stay in the foreground, log to stderr
  -d  the same, and log at debug level
  -o  mount options, below
  -h  this text
  -V  version

Mount options, default first:
  mode=direct|mapped|buffered      O_DIRECT; a shared mapping; plain reads and writes
  unaligned=bounce|split|reject|audit    read-modify-write; ragged ends through the page cache;
                                   EINVAL; bounce, but judge and report as reject does
  enforce=all|odirect              reject, audit: judge every open, or those with O_DIRECT alone
  align=auto|N                     offset and length boundary in bytes, a power of two
  mem_align=auto|N|off             reject, audit: boundary of the program's buffer
  require_direct                   mount only where direct I/O is proven
  map_advice=normal|sequential|random|willneed    mapped: what the kernel reads ahead
  map_populate                     mapped: a file is read whole when it is first read
  passthrough                      mapped, buffered: the kernel serves files itself where it can
  dsync                            every write is on media before it returns
  engine=auto|uring|threads        how the backing is called
  fuse_uring=auto|off|on           requests come by io_uring, not by reads of /dev/fuse
  poll=50|N                        microseconds to look for the next request before sleeping
  share_processor=on|off           who serves a caller who is alone may share his processor
  max_request=auto|N               bytes of one request; root may exceed the kernel's limit
  threads=auto|N                   workers
  report=log|log+tty               reject: also show refusals on the refused program's terminal
  events=1024|N                    events that are kept
  control=on|off                   the .alignfs directory and the user.alignfs.* attributes
  log_level=info|...               trace, debug, info, warn, error, critical, off
  log_file=PATH                    instead of stderr or syslog
  attr_timeout=1 entry_timeout=1   seconds the kernel may trust what it was told
  allow_other, ro, noexec, ...     of FUSE and mount(8)
)";

struct CommandLine {
  bool foreground = false;
  bool debug = false;
  std::vector<std::string> options;
  std::string source;
  std::string mountpoint;
};

/// What getopt() stumbled on, as it was given: a long option stands for itself.
std::string unknown_option(char** argv) {
  if (::optopt == '-') return argv[::optind];
  return std::string("-") + char(::optopt);
}

/// Returns an exit status if there is nothing to mount.
std::optional<int> parse(int argc, char** argv, CommandLine& line) {
  ::opterr = 0;
  for (int letter = 0; (letter = ::getopt(argc, argv, ":fdo:hV")) != -1;) {
    switch (letter) {
      case 'f': line.foreground = true; break;
      case 'd': line.foreground = line.debug = true; break;
      case 'o': line.options.emplace_back(::optarg); break;
      case 'h': std::printf("%s%s", kUsage, kHelp); return 0;
      case 'V': std::printf("alignfs %s\n", ALIGNFS_VERSION); return 0;
      case ':':
        std::fprintf(stderr, "alignfs: option -%c needs a value (alignfs -h for help)\n", ::optopt);
        return kWrongCommandLine;
      default:
        std::fprintf(stderr, "alignfs: unknown option %s (alignfs -h for help)\n",
                     unknown_option(argv).c_str());
        return kWrongCommandLine;
    }
  }
  if (argc - ::optind != 2) {
    std::fprintf(stderr,
                 "alignfs: SOURCE and MOUNTPOINT are needed, %d arguments given "
                 "(alignfs -h for help)\n",
                 argc - ::optind);
    return kWrongCommandLine;
  }
  line.source = argv[::optind];
  line.mountpoint = argv[::optind + 1];
  return std::nullopt;
}

LogTarget log_target(const CommandLine& line, const MountOptions& options) {
  if (!options.log_file.empty()) return LogTarget::file;
  return line.foreground ? LogTarget::standard_error : LogTarget::syslog;
}

/// Blocks what ends the daemon, in this thread and those to come: Session::run() waits for it. A
/// shell's background job may have inherited SIGINT as ignored; SIGTERM always ends the mount.
void block_signals() {
  ::signal(SIGTERM, SIG_DFL);
  sigset_t signals;
  sigemptyset(&signals);
  // SIGTTOU: as a shell's background job it may have to show a refusal on its own terminal.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGTTOU}) sigaddset(&signals, signal);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

int complain(std::optional<Daemon>& daemon, const std::string& complaint) {
  if (daemon) {
    daemon->failed(complaint);
  } else {
    std::fprintf(stderr, "alignfs: %s\n", complaint.c_str());
  }
  return kMountFailed;
}

/// Mounts, and serves until that ends. Returns one line for a person if nothing was mounted.
std::string serve_mount(std::optional<Daemon>& daemon, const MountOptions& options,
                        const MountPaths& paths, Filesystem::Queues queues) {
  std::string complaint;
  {
    const auto filesystem = Filesystem::create(options, paths.source, complaint, queues);
    if (!filesystem) return complaint;
    Session session(*filesystem);
    complaint = session.start(paths.mountpoint);
    if (complaint.empty()) {
      spdlog::info("{} mounted at {}", paths.source, paths.mountpoint);
      if (daemon) daemon->succeeded();
      session.run();
      return {};
    }
    if (!session.may_do_without_queues()) return complaint;
  }
  spdlog::warn("{}: mounting anew for reads of /dev/fuse", complaint);
  return serve_mount(daemon, options, paths, Filesystem::Queues::none);
}

int serve(std::optional<Daemon>& daemon, const CommandLine& line, const MountOptions& options,
          const MountPaths& paths) {
  if (const auto opened = set_up_log(log_target(line, options),
                                     line.debug ? "debug" : options.log_level, options.log_file);
      !opened) {
    return complain(daemon, fmt::format("cannot open the log {}: {}", options.log_file,
                                        std::strerror(opened.code())));
  }
  block_signals();
  try {
    const auto complaint = serve_mount(daemon, options, paths, Filesystem::Queues::as_asked);
    return complaint.empty() ? 0 : complain(daemon, complaint);
  } catch (const std::exception& problem) {
    // What was set up is taken down again by now.
    return complain(daemon, problem.what());
  }
}

int run(int argc, char** argv) {
  CommandLine line;
  if (const auto status = parse(argc, argv, line)) return *status;

  std::optional<Daemon> none;
  const auto parsed = parse_mount_options(line.options);
  if (!parsed.complaint.empty()) return complain(none, parsed.complaint);
  const auto paths = check_mount(line.source, line.mountpoint);
  if (!paths.complaint.empty()) return complain(none, paths.complaint);

  // One heap for all workers: an arena each would keep its own leftovers resident.
  ::mallopt(M_ARENA_MAX, 2);
  std::optional<Daemon> daemon;
  if (!line.foreground) daemon.emplace();
  return serve(daemon, line, parsed.options, paths);
}

}  // namespace
}  // namespace alignfs

int main(int argc, char** argv) { return alignfs::run(argc, argv); }
