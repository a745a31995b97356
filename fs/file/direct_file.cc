#include "alignfs/file/direct_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <limits>

#include "alignfs/io/page_cache.h"
#include "alignfs/io/probe.h"

namespace alignfs {
namespace {

constexpr std::uint64_t kMaxOffset = std::numeric_limits<off_t>::max();

/// The last block a file can have ends past the last offset the kernel reads up to.
bool is_beyond(Range window) { return window.end > kMaxOffset; }

}  // namespace

Result<std::unique_ptr<File>> DirectFile::open(const FileServices& services, const DirectMode& mode,
                                               Inode& inode, std::shared_ptr<OpenInode> shared,
                                               UniqueFd fd, const Requester& opener) {
  const auto backing = enable_direct_io(fd.get());
  if (!backing) return backing.error();
  std::unique_ptr<DirectFile> file(
      new DirectFile(services, mode, inode, std::move(shared), std::move(fd)));
  file->geometry_ = make_geometry(*backing, mode.alignment);
  if (backing->verdict == Verdict::native) file->memory_boundary_ = backing->memory;
  file->reopen_flags_ = ::fcntl(file->fd(), F_GETFL) & (O_ACCMODE | O_APPEND | O_NOATIME);
  if (backing->verdict != Verdict::native) {
    services.observer.fallback(
        backing->verdict == Verdict::refused ? Fallback::refused : Fallback::unproven,
        file->fragment_of({.requester = opener}, Direction::read),
        rules_for(file->geometry_, Direction::write, VectorRule::memory));
  }
  return std::unique_ptr<File>(std::move(file));
}

/// Whether a strict mount lets the request pass.
Status DirectFile::judge(const IoRequest& request, Direction direction) {
  if (!mode_.strict || request.internal || (mode_.only_odirect && !request.odirect)) return {};
  const auto fragment = fragment_of(request, direction);
  const auto rules = rules_for(geometry_, direction, mode_.vector);
  const auto view = services_.observer.observe(fragment);
  if (view.kind == CallView::Kind::page_access) return {};
  const auto diagnosis = diagnose(view.call, rules);
  if (diagnosis.legal()) return {};
  if (direction == Direction::read) {
    const auto now = attributes();
    if (!now) return mode_.audit ? Status() : now.error();
    const auto size = std::uint64_t(now->st_size);
    // Linux looks at the end of file before it looks at the alignment. Explained is the call as it
    // was made; judged is the part that the file has.
    if (request.offset >= size ||
        diagnose(clip_to_end_of_file(view.call, size, rules.block.bytes), rules).legal()) {
      return {};
    }
  }
  services_.observer.judged(mode_.audit ? Action::bounced : Action::rejected, fragment, view, rules,
                            diagnosis);
  if (mode_.audit) return {};
  return Error{EINVAL, "misaligned request"};
}

bool DirectFile::leaves_thread(Direction direction, std::uint64_t offset,
                               std::uint64_t length) const {
  const auto block = direction == Direction::read ? geometry_.read_block : geometry_.write_block;
  if (direction == Direction::write && services_.durability != Durability::none) return false;
  return !mode_.strict && is_aligned(offset | length, block) && offset + length <= kMaxOffset;
}

DirectFile::ReadSources DirectFile::sources_of(const ReadPlan& plan, std::uint64_t offset) {
  ReadSources sources{plan, plan.window, {}, -1};
  const bool beyond = is_beyond(plan.window);
  const Range known{plan.window.begin, offset + plan.length};
  std::uint64_t cached_from = known.end;
  if (beyond) {
    cached_from = known.begin;
  } else if (plan.widened() && !mode_.require_direct) {
    // What the disk does not have yet a direct read would write out first.
    cached_from = awaits_writeback_from(fd(), known, geometry_.read_block);
  }
  if (cached_from == known.end) return sources;
  sources.cache_fd = sibling();
  if (sources.cache_fd < 0 && !beyond) return sources;
  if (sources.cache_fd < 0) sources.cache_fd = fd();
  if (cached_from == known.begin) {
    sources.plan = {{offset, known.end}, 0, plan.length};
    sources.disk = {offset, offset};
  } else {
    sources.disk.end = cached_from;
  }
  sources.cache = {sources.disk.end, known.end};
  return sources;
}

Task<Result<File::ReadData>> DirectFile::read(IoRequest request) {
  auto account = account_of(request, Direction::read);
  if (const auto verdict = judge(request, Direction::read); !verdict) {
    account.outcome = Outcome::rejected;
    co_return verdict.error();
  }
  auto plan = plan_read(request.offset, request.length, geometry_);
  if (plan.widened()) {
    // A request that is unaligned only where the file has ended is one that the backing accepts.
    const auto now = attributes();
    if (!now) co_return now.error();
    plan = plan_read(request.offset,
                     clip_to_end_of_file(request.offset, request.length,
                                         std::uint64_t(now->st_size), geometry_.read_block),
                     geometry_);
  }
  const bool adapted = plan.widened() && !is_beyond(plan.window);
  const auto sources = sources_of(plan, request.offset);

  ReadData data;
  std::byte* into = request.room.data();
  if (const auto length = sources.plan.window.length(); length > request.room.size()) {
    data.lease = co_await services_.buffers_for(length).lease();
    into = data.lease.data();
  }
  const auto& disk = sources.disk;
  const auto& cache = sources.cache;
  // The end first: a write of both parts that goes on meanwhile makes them in ascending order, and
  // nobody is to see its end without its beginning.
  std::size_t cached = 0;
  if (!cache.empty()) {
    const auto part = co_await FullTransfer::read(
        sources.cache_fd, {into + disk.length(), cache.length()}, cache.begin, 1);
    if (!part && disk.empty()) co_return part.error();
    if (part) cached = *part;
    account.traffic.backing_read = cached;
    if (sources.cache_fd != fd()) account.traffic.page_cache = cached;
  }
  std::size_t got = cached;
  if (!disk.empty()) {
    const auto part =
        co_await FullTransfer::read(fd(), {into, disk.length()}, disk.begin, geometry_.read_block);
    if (!part) co_return part.error();
    account.traffic.backing_read += *part;
    got = *part == disk.length() ? *part + cached : *part;
  }
  data.bytes = {into + sources.plan.head, sources.plan.valid(got)};
  account.traffic.bytes = data.bytes.size();
  close(account, adapted ? Outcome::bounced : Outcome::ok);
  if (adapted && !request.internal && !mode_.audit) {
    services_.observer.adapted(Action::bounced, fragment_of(request, Direction::read),
                               rules_for(geometry_, Direction::read, mode_.vector));
  }
  co_return data;
}

void DirectFile::close(Account& account, Outcome outcome) const {
  auto& traffic = account.traffic;
  if (!takes_direct_io()) traffic.page_cache = traffic.backing_read + traffic.backing_write;
  account.outcome = outcome;
}

int DirectFile::sibling() {
  const std::lock_guard guard(sibling_mutex_);
  if (!sibling_ && !sibling_forbidden_) {
    sibling_.reset(::open(ProcPath(fd()).c_str(), reopen_flags_ | O_CLOEXEC));
    sibling_forbidden_ = !sibling_ && (errno == EACCES || errno == EPERM);
  }
  return sibling_.get();
}

int DirectFile::sibling_if_open() {
  const std::lock_guard guard(sibling_mutex_);
  return sibling_.get();
}

Status DirectFile::sync(bool data_only) {
  auto status = File::sync(data_only);
  const int sibling = sibling_if_open();
  // The sibling's own error report must be taken even where the first one failed, or the next fsync
  // would tell of the same error again.
  if (sibling >= 0 && (data_only ? ::fdatasync(sibling) : ::fsync(sibling)) != 0 && status) {
    status = last_error("sync the backing file");
  }
  return status;
}

Status DirectFile::flush() {
  auto status = File::flush();
  const int sibling = sibling_if_open();
  if (sibling < 0) return status;
  UniqueFd copy(::fcntl(sibling, F_DUPFD_CLOEXEC, 0));
  if (copy && ::close(copy.release()) != 0 && status) {
    status = last_error("flush the backing file");
  }
  return status;
}

}  // namespace alignfs
