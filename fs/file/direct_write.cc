// The write path of direct mode. plan.h says which bytes go which way; this file carries it out.

#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "alignfs/file/direct_file.h"
#include "alignfs/io/page_cache.h"

namespace alignfs {
namespace {

/// Durability of one step: a plan of several steps is synced once, at its end.
Durability step_durability(const WritePlan& plan, Durability whole) {
  return plan.fragments().size() == 1 ? whole : Durability::none;
}

}  // namespace

Task<Result<std::size_t>> DirectFile::write(IoRequest request, std::span<const std::byte> data) {
  auto account = account_of(request, Direction::write);
  if (const auto verdict = judge(request, Direction::write); !verdict) {
    account.outcome = Outcome::rejected;
    co_return verdict.error();
  }
  request.durability = at_least(request.durability);

  auto need = lock_for_write({request.offset, request.offset + request.length}, geometry_);
  // Whoever takes O_DIRECT off the shared descriptor for a moment must be alone with the file.
  const bool toggles = need.exclusive && sibling() < 0;
  if (request.append || toggles) need = {RangeLock::kWholeFile, true};
  // Had before the lock: who waited for a buffer with the lock in hand would wait for those that
  // hold the buffers and wait for the lock.
  const bool aligned = !need.exclusive && !request.append;
  BufferPool::Lease bounce;
  if (!aligned || !fits_direct_io(data)) {
    bounce = co_await services_.buffers_for(data.size() + 2ul * geometry_.write_block).lease();
  }
  RangeLock::Hold hold(shared_->lock, need.range, need.exclusive);
  co_await hold;

  if (aligned) co_return co_await write_aligned(request, data, bounce.data(), account);

  const auto now = attributes();
  if (!now) co_return now.error();
  const auto end = std::uint64_t(now->st_size);
  // The kernel takes an append's offset from the size it knows, which is stale when the backing
  // grew from outside. The plan is made for the size as it is, and each of its steps goes to the
  // end of file as that is then, so that nobody's bytes are overwritten.
  const auto place = request.append ? Place::at_end : Place::at_offset;
  if (request.append) request.offset = end;
  const Range range{request.offset, request.offset + request.length};
  const auto plan =
      plan_write(range, end, geometry_, mode_.policy, (reopen_flags_ & O_ACCMODE) != O_WRONLY);
  const auto written =
      carry_out(plan, {range, data, request.durability, place, bounce.data(), account.traffic});

  const bool adapted = !plan.as_it_came();
  const bool split = mode_.policy == UnalignedPolicy::split;
  if (written) account.traffic.bytes = *written;
  close(account, !written   ? Outcome::error
                 : !adapted ? Outcome::ok
                 : split    ? Outcome::split
                            : Outcome::bounced);
  if (adapted && !request.internal && !mode_.audit) {
    services_.observer.adapted(split ? Action::split : Action::bounced,
                               fragment_of(request, Direction::write),
                               rules_for(geometry_, Direction::write, mode_.vector));
  }
  co_return written;
}

Task<Result<std::size_t>> DirectFile::write_aligned(const IoRequest& request,
                                                    std::span<const std::byte> data,
                                                    std::byte* bounce, Account& account) {
  const auto written =
      co_await FullTransfer::write(fd(), in_fitting_memory(data, bounce), request.offset,
                                   geometry_.write_block, request.durability);
  if (!written) co_return written.error();
  account.traffic.bytes = account.traffic.backing_write = *written;
  close(account, Outcome::ok);
  co_return written;
}

bool DirectFile::fits_direct_io(std::span<const std::byte> data) const {
  return is_aligned(reinterpret_cast<std::uintptr_t>(data.data()), memory_boundary_);
}

std::span<const std::byte> DirectFile::in_fitting_memory(std::span<const std::byte> data,
                                                         std::byte* bounce) const {
  if (fits_direct_io(data)) return data;
  std::memcpy(bounce, data.data(), data.size());
  return {bounce, data.size()};
}

Result<std::size_t> DirectFile::carry_out(const WritePlan& plan, const WriteStep& whole) {
  std::size_t done = 0;
  for (const auto& fragment : plan.fragments()) {
    const WriteStep step{
        fragment.range,
        whole.data.subspan(fragment.range.begin - whole.range.begin, fragment.range.length()),
        step_durability(plan, whole.durability),
        whole.place,
        whole.bounce,
        whole.traffic};
    const auto written = fragment.path == WritePath::direct     ? write_direct(step)
                         : fragment.path == WritePath::buffered ? write_buffered(step)
                                                                : read_modify_write(step);
    if (!written && done == 0) return written.error();
    done += written ? *written : 0;
    if (!written || *written < step.range.length()) break;
  }
  if (plan.fragments().size() > 1 && whole.durability != Durability::none) {
    if (const auto synced = sync(whole.durability == Durability::data); !synced) {
      return synced.error();
    }
  }
  return done;
}

Result<std::size_t> DirectFile::write_direct(const WriteStep& step) {
  const auto written =
      write_fully(fd(), in_fitting_memory(step.data, step.bounce), step.range.begin,
                  geometry_.write_block, step.durability, step.place);
  // The end of file that an append went to was moved from outside, off the block.
  if (step.place == Place::at_end && written.code() == EINVAL) return write_buffered(step);
  if (written) step.traffic.backing_write += *written;
  return written;
}

/// Fills the blocks of `window` that the step covers in part. False if the file no longer holds
/// them: it was cut short from outside, and writing whole blocks would make it longer again.
bool DirectFile::read_ragged_blocks(const WriteStep& step, Range window, std::byte* into) {
  const std::uint64_t block = geometry_.write_block;
  const auto read_range = [&](Range range) {
    const auto got = read_fully(fd(), {into + (range.begin - window.begin), range.length()},
                                range.begin, geometry_.write_block);
    if (got) step.traffic.backing_read += *got;
    return got && *got == range.length();
  };
  const bool head = window.begin != step.range.begin;
  const bool tail = window.end != step.range.end;
  // Up to two blocks of surplus cost less than a second request.
  if (head && tail && window.length() <= 4 * block) return read_range(window);
  return (!head || read_range({window.begin, window.begin + block})) &&
         (!tail || read_range({window.end - block, window.end}));
}

bool DirectFile::ragged_blocks_cached(const WriteStep& step, Range window) const {
  const std::uint64_t block = geometry_.write_block;
  return (window.begin != step.range.begin &&
          is_cached(fd(), {window.begin, window.begin + block})) ||
         (window.end != step.range.end && is_cached(fd(), {window.end - block, window.end}));
}

Result<std::size_t> DirectFile::read_modify_write(const WriteStep& step) {
  if (shared_->stored_to_while_written) return write_ragged_ends_buffered(step);
  const Range window = widen(step.range, geometry_.write_block);
  const std::uint64_t head = step.range.begin - window.begin;
  if (!read_ragged_blocks(step, window, step.bounce)) return write_buffered(step);
  std::memcpy(step.bounce + head, step.data.data(), step.data.size());
  const std::span<const std::byte> blocks(step.bounce, window.length());

  // A page in the page cache is one that somebody maps or wrote there: a store to it since the
  // blocks were read would be undone.
  auto written = write_uncached(fd(), blocks, window.begin, step.durability);
  bool cached = written.code() == EAGAIN;
  if (written.code() == EOPNOTSUPP && !(cached = ragged_blocks_cached(step, window))) {
    written =
        write_fully(fd(), blocks, window.begin, geometry_.write_block, step.durability, step.place);
  }
  if (cached) return write_ragged_ends_buffered(step);
  if (!written) return written.error();
  step.traffic.backing_write += *written;
  // Read in while the blocks were on their way, and stored to perhaps: such a page has not the
  // bytes of this write, and will be written back over them.
  if (ragged_blocks_cached(step, window)) {
    shared_->stored_to_while_written = true;
    return write_ragged_ends_buffered(step);
  }
  if (*written == window.length()) return step.data.size();
  // What stopped it within the blocks stops the rest, too, and says why, or it was the wait alone.
  return write_ragged_ends_buffered(step);
}

/// Touches no byte but those of the request.
Result<std::size_t> DirectFile::write_ragged_ends_buffered(const WriteStep& step) {
  const auto inside = widen(step.range, geometry_.cache_cell).end;
  return carry_out(plan_write(step.range, inside, geometry_, UnalignedPolicy::split, true), step);
}

Result<std::size_t> DirectFile::write_buffered(const WriteStep& step) {
  int buffered = sibling();
  const int direct_flags = buffered < 0 ? ::fcntl(fd(), F_GETFL) : 0;
  if (buffered < 0) {
    // The whole file is locked against other writers (write() saw to it); a read that finds the
    // flag off goes through the page cache for once, with the same bytes.
    buffered = fd();
    if (direct_flags < 0 || ::fcntl(buffered, F_SETFL, direct_flags & ~O_DIRECT) != 0) {
      return last_error("take O_DIRECT off the backing file");
    }
  }
  const auto written =
      write_fully(buffered, step.data, step.range.begin, 1, step.durability, step.place);
  if (buffered == fd() && ::fcntl(buffered, F_SETFL, direct_flags) != 0) {
    return last_error("set O_DIRECT on the backing file");
  }
  if (written) {
    step.traffic.backing_write += *written;
    step.traffic.page_cache += *written;
  }
  return written;
}

}  // namespace alignfs
