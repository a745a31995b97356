#include "alignfs/fuse/filesystem.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <thread>

#include "alignfs/file/buffered_file.h"
#include "alignfs/file/mapped_file.h"
#include "alignfs/fuse/io_uring_offer.h"
#include "alignfs/fuse/page_limit.h"
#include "alignfs/fuse/queue_crew.h"
#include "alignfs/fuse/ring_entry.h"
#include "alignfs/io/fault_guard.h"
#include "alignfs/io/filesystem_kind.h"
#include "alignfs/io/probe.h"
#include "alignfs/io/uring_engine.h"

namespace alignfs {
namespace {

constexpr std::size_t kCopyBuffer = 256 * 1024;
/// Enough for what databases read at a time, with a block on either side.
constexpr std::size_t kSmallBuffer = 64 * 1024;
/// Of a worker.
constexpr std::size_t kBounceBuffers = 2, kSmallBuffers = 8;

unsigned worker_count(const MountOptions& options) {
  if (options.threads) return *options.threads;
  // Workers wait for the backing, also where it is slow (fsync), so there are several times as many
  // as processors; the upper bound keeps the buffers within bounds.
  return std::clamp(4 * std::thread::hardware_concurrency(), 8u, 32u);
}

/// Whether requests are to be served by way of io_uring. `complaint` gets one line if it is asked
/// for and not to be had.
bool choose_io_uring(const MountOptions& options, std::string& complaint) {
  using Engine = MountOptions::Engine;
  const auto engine = options.engine;
  if (engine == Engine::threads) return false;
  const auto tried = UringEngine::create(1);
  if (tried) return true;
  const char* reason = std::strerror(tried.code());
  if (engine == Engine::uring) {
    complaint = fmt::format("option 'engine' does not take 'uring' here: no io_uring ({})", reason);
  } else {
    spdlog::info("no io_uring ({}): the backing is reached by threads that wait for it", reason);
  }
  return false;
}

/// Why there cannot be queues of FUSE over io_uring; empty if there can.
std::string obstacle_to_queues(const Filesystem& filesystem, unsigned entries) {
  if (!filesystem.uses_io_uring) return "no io_uring (-o engine=uring says why)";
  if (entries == 0) {
    return fmt::format("threads={} leaves no buffers for {} processors (more threads do)",
                       filesystem.workers, filesystem.processors.possible);
  }
  if (const auto offer = kernel::check_io_uring_offer(); !offer) {
    return fmt::format("{} ({})", offer.error().context, std::strerror(offer.code()));
  }
  return {};
}

/// Why a mount that leaves the choice to us does without queues that it might have; empty if it has
/// them.
std::string objection_to_queues(const Filesystem& filesystem, unsigned entries) {
  // With fewer, callers of one processor wait for each other's answers.
  constexpr unsigned kFewest = 7;
  if (const char* objection = kernel::objection_to_io_uring()) return objection;
  if (!filesystem.local) return "SOURCE is not on a filesystem known to be local";
  const auto& processors = filesystem.processors;
  if (processors.possible != processors.online.size()) {
    return "processors may come while it is mounted, and would have a queue for one request";
  }
  if (entries < kFewest) {
    return fmt::format("threads={} leaves buffers for {} requests of a processor",
                       filesystem.workers, entries);
  }
  return {};
}

/// Settles the queues where requests are to come by io_uring. `complaint` gets one line if that is
/// asked for and not to be had.
void choose_queues(Filesystem& filesystem, std::string& complaint) {
  using FuseUring = MountOptions::FuseUring;
  const auto asked = filesystem.options.fuse_uring;
  const bool ours = asked == FuseUring::automatic;
  // The requests of the other modes are short, and what they cost is waking each other; direct ones
  // wait for the disk, and a disk that is given many at once gains more than they do.
  const bool suits =
      filesystem.uses_io_uring && filesystem.options.mode != MountOptions::Mode::direct;
  if (asked == FuseUring::off || (ours && !suits)) return;
  filesystem.processors = kernel::processors();
  const auto entries =
      QueueCrew::entries_for(filesystem.receive_buffers.limit(), filesystem.processors);
  auto reason = ours ? objection_to_queues(filesystem, entries) : "";
  if (reason.empty()) reason = obstacle_to_queues(filesystem, entries);
  if (reason.empty()) {
    filesystem.queue_entries = entries;
  } else {
    complaint = filesystem.go_without_queues(reason);
  }
}

/// Buffers of `size` bytes for requests that a worker may have, so that it has 8 MiB altogether:
/// its own, and more for writes that wait for a lock or the backing.
std::size_t receive_buffers_of_a_worker(std::size_t size, std::size_t max_read) {
  constexpr std::size_t kAll = 8 << 20, kFewest = 2, kMost = 4;
  const auto others = kBounceBuffers * DirectMode::buffer_size(max_read) +
                      kSmallBuffers * kSmallBuffer + kCopyBuffer;
  return std::clamp((kAll - others) / size, kFewest, kMost);
}

/// Programs on the mount may open as many files as they like; their limits are not ours. Returns
/// how many directories may keep a descriptor.
std::size_t raise_descriptor_limit() {
  constexpr std::size_t kMost = 4096;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  // Beyond the hard limit where the daemon may (CAP_SYS_RESOURCE), as far as the kernel goes at
  // all.
  rlim_t most = limit.rlim_max;
  std::ifstream("/proc/sys/fs/nr_open") >> most;
  const rlimit raised{std::max(most, limit.rlim_max), std::max(most, limit.rlim_max)};
  if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) return std::min<std::size_t>(kMost, most / 4);
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    spdlog::warn("cannot raise the limit of open files: {}", std::strerror(errno));
  }
  return std::min<std::size_t>(kMost, limit.rlim_max / 4);
}

/// One line if `options` cannot be had over this backing, else empty.
std::string check_backing(const MountOptions& options, const std::string& source,
                          const Result<BackingGeometry>& backing) {
  if (!backing) {
    if (!options.require_direct) return {};
    return fmt::format("require_direct: cannot try direct I/O in {}: {}", source,
                       std::strerror(backing.code()));
  }
  if (options.require_direct && backing->verdict != Verdict::native) {
    return fmt::format("require_direct: {} {}", source,
                       backing->verdict == Verdict::refused
                           ? "refuses O_DIRECT"
                           : "accepts O_DIRECT but does not vouch for direct I/O (statx states no "
                             "alignment)");
  }
  const auto& asked = options.alignment;
  if (asked.block && *asked.block < backing->write) {
    return fmt::format(
        "option 'align' does not take '{}' here: {} needs {}, and align may be "
        "coarser, never finer",
        *asked.block, source, backing->write);
  }
  if (asked.memory && *asked.memory != 0 && *asked.memory < backing->memory) {
    return fmt::format(
        "option 'mem_align' does not take '{}' here: {} needs {}, and mem_align may "
        "be coarser, never finer",
        *asked.memory, source, backing->memory);
  }
  return {};
}

void log_verdict(const std::string& source, const Result<BackingGeometry>& backing) {
  if (!backing) {
    spdlog::info("cannot try direct I/O in {} ({}): each file is asked when it is opened", source,
                 std::strerror(backing.code()));
    return;
  }
  switch (backing->verdict) {
    case Verdict::native:
      spdlog::info("direct I/O to {}: memory {}, offset and length {} (reads {}), from statx",
                   source, backing->memory, backing->write, backing->read);
      break;
    case Verdict::unproven:
      spdlog::warn(
          "{} accepts O_DIRECT, but statx vouches for no direct I/O: the backing may use "
          "the page cache (-o require_direct refuses such a mount)",
          source);
      break;
    case Verdict::refused:
      spdlog::warn(
          "{} refuses O_DIRECT: I/O goes through the page cache (-o require_direct "
          "refuses such a mount)",
          source);
      break;
  }
}

DirectMode direct_mode(const MountOptions& options) {
  using Options = MountOptions;
  return {.strict = options.is_strict(),
          .audit = options.unaligned == Options::Unaligned::audit,
          .only_odirect = options.enforce == Options::Enforce::odirect,
          .require_direct = options.require_direct,
          .policy = options.unaligned == Options::Unaligned::split ? UnalignedPolicy::split
                                                                   : UnalignedPolicy::bounce,
          .alignment = options.alignment};
}

}  // namespace

Filesystem::Filesystem(const MountOptions& mount_options, std::string source_path,
                       unsigned worker_count, std::size_t max_request, std::size_t max_read)
    : options(mount_options),
      source(std::move(source_path)),
      workers(worker_count),
      reporter({.events = mount_options.events,
                .source = source,
                .terminals = mount_options.report_on_terminals}),
      receive_buffers(
          RingEntry::buffer_size(kernel::max_payload(max_request)),
          worker_count * receive_buffers_of_a_worker(
                             RingEntry::buffer_size(kernel::max_payload(max_request)), max_read)),
      bounce_buffers(DirectMode::buffer_size(max_read), kBounceBuffers * worker_count),
      small_bounce_buffers(kSmallBuffer, std::min(64ul, kSmallBuffers * worker_count)),
      copy_buffers(kCopyBuffer, worker_count),
      services{bounce_buffers, small_bounce_buffers, reporter, counters,
               options.dsync ? Durability::data : Durability::none},
      direct(direct_mode(options)),
      mapper(options.map_advice, options.map_populate, Mapper::limits_of_this_machine()),
      control(*this) {
  features.max_request = max_request;
  features.max_read = max_read;
}

unsigned Filesystem::max_calls() const {
  return unsigned(receive_buffers.limit() + bounce_buffers.limit() + small_bounce_buffers.limit());
}

std::string Filesystem::go_without_queues(const std::string& reason) {
  if (options.fuse_uring == MountOptions::FuseUring::on) {
    return fmt::format("option 'fuse_uring' does not take 'on' here: {}", reason);
  }
  spdlog::info("requests come by reads of /dev/fuse, not by io_uring: {}", reason);
  queue_entries = 0;
  return {};
}

Filesystem::~Filesystem() { close_files(); }

void Filesystem::close_files() {
  for (const File* file : files) delete file;
  files.clear();
  directories.clear();
}

void Filesystem::settle_passthrough() {
  const char* reason =
      ::geteuid() == 0 ? "the kernel does not offer it; Linux 6.9 and later do" : "it takes root";
  const auto root = inodes->path_of(inodes->root());
  if (features.passthrough && root) {
    // Where no such file can be made, each file shows for itself.
    const UniqueFd file(::openat(root->get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    const int error = file ? kernel::try_backing_file(fuse_session_fd(session), file.get()) : 0;
    features.passthrough = error == 0;
    reason = error == ELOOP   ? "SOURCE is on a filesystem that is stacked on another"
             : error == EPERM ? "it takes CAP_SYS_ADMIN"
                              : std::strerror(error);
  }
  if (options.passthrough && !features.passthrough) {
    spdlog::warn("passthrough is not to be had ({}): all requests go through the daemon", reason);
  }
}

Result<std::unique_ptr<File>> Filesystem::open_file(Inode& inode, std::shared_ptr<OpenInode> shared,
                                                    UniqueFd fd, const Opening& opening) {
  FileServices own = services;
  own.durability = std::max(own.durability, durability_of(opening.flags));
  switch (options.mode) {
    case MountOptions::Mode::mapped:
      return MappedFile::open(own, mapper, inode, std::move(shared), std::move(fd));
    case MountOptions::Mode::buffered:
      return BufferedFile::open(own, inode, std::move(shared), std::move(fd));
    case MountOptions::Mode::direct: break;
  }
  return DirectFile::open(own, direct, inode, std::move(shared), std::move(fd), opening.requester);
}

std::unique_ptr<Filesystem> Filesystem::create(const MountOptions& options,
                                               const std::string& source, std::string& complaint,
                                               Queues queues) {
  const auto directory_fds = raise_descriptor_limit();
  UniqueFd directory(::open(source.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) {
    complaint = fmt::format("cannot open SOURCE {}: {}", source, std::strerror(errno));
    return nullptr;
  }
  const bool direct = options.mode == MountOptions::Mode::direct;
  std::optional<Result<BackingGeometry>> backing;
  if (direct) {
    backing = probe_directory(directory.get());
    complaint = check_backing(options, source, *backing);
    if (!complaint.empty()) return nullptr;
  }
  struct stat taken {};
  if (options.control &&
      ::fstatat(directory.get(), Control::kName, &taken, AT_SYMLINK_NOFOLLOW) == 0) {
    complaint = fmt::format("{} has a '{}' of its own: mount with -o control=off to reach it",
                            source, Control::kName);
    return nullptr;
  }
  std::optional<Geometry> geometry;
  if (direct) {
    log_verdict(source, *backing);
    if (*backing) geometry = make_geometry(**backing, options.alignment);
  }
  const bool uses_io_uring = choose_io_uring(options, complaint);
  if (!complaint.empty()) return nullptr;
  const auto block = geometry ? geometry->judged.write.bytes : options.alignment.block.value_or(0);
  const auto max_request = options.max_request.value_or(kernel::choose_max_request(block));
  if (options.max_request) {
    if (const auto room = kernel::check_max_request(max_request); !room) {
      complaint = fmt::format("option 'max_request' does not take '{}' here: {} ({})", max_request,
                              room.error().context, std::strerror(room.code()));
      return nullptr;
    }
  }
  auto filesystem = std::make_unique<Filesystem>(
      options, source, worker_count(options), max_request,
      kernel::choose_max_read(max_request, block, options.is_strict()));
  filesystem->uses_io_uring = uses_io_uring;
  if (direct) filesystem->direct.vector = probe_vector_rule(directory.get());
  filesystem->source_geometry = geometry;
  auto inodes = InodeTable::create(std::move(directory), directory_fds);
  if (!inodes) {
    complaint = fmt::format("cannot use SOURCE {}: {}", source, std::strerror(inodes.code()));
    return nullptr;
  }
  filesystem->inodes = *std::move(inodes);
  const auto root = filesystem->inodes->path_of(filesystem->inodes->root());
  filesystem->local_disk = is_local_disk_filesystem(root->get());
  filesystem->local = is_local_filesystem(root->get());
  if (queues == Queues::as_asked) choose_queues(*filesystem, complaint);
  if (!complaint.empty()) return nullptr;
  if (options.mode == MountOptions::Mode::mapped) {
    install_fault_guard();
    if (!filesystem->local_disk) {
      spdlog::warn(
          "{} is on a filesystem where a map does not show all that reads do, or fills holes: "
          "files "
          "are read by pread, as with mode=buffered",
          source);
    }
  }
  return filesystem;
}

}  // namespace alignfs
