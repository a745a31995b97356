#include "alignfs/ctl/lab/below.h"

#include <fmt/format.h>
#include <unistd.h>

#include <fstream>

#include "alignfs/ctl/commands.h"
#include "alignfs/ctl/stats.h"
#include "alignfs/ctl/units.h"

namespace alignfs::ctl::lab {
namespace {

/// proc(5): what this process made disks read and write; writes to the page cache count when they
/// dirty it.
Moved moved_on_disks() {
  Moved moved;
  std::ifstream file("/proc/self/io");
  std::string name;
  for (std::uint64_t value = 0; file >> name >> value;) {
    if (name == "read_bytes:") moved.backing_read = value;
    if (name == "write_bytes:") moved.backing_write = value;
  }
  return moved;
}

std::string blocks_text(std::uint64_t bytes, std::uint32_t block) {
  if (bytes == 0 || block <= 1 || bytes % block != 0) return fmt::format("{} bytes", bytes);
  return fmt::format("{} of {}", plural(bytes / block, "block"), block);
}

}  // namespace

BelowMeter::BelowMeter(const std::string& path) : mount_(AlignfsMount::of(path)) {
  if (!mount_) return;
  path_on_mount_ = mount_->path_on_mount(path);
  try {
    look();
  } catch (const CommandError& error) {
    unseen_ = fmt::format("only the mount's owner may ask its daemon ({})", error.what());
  }
}

BelowMeter::Sums BelowMeter::look() const {
  Sums sums;
  if (!mount_) {
    sums.moved = moved_on_disks();
    return sums;
  }
  const auto activity = look_at_activity(*mount_);
  sums.watch = activity.watch;
  for (const auto& row : activity.rows) {
    // What this process does it does to its file alone, whatever that is called by now. Stores to
    // a map are written back in nobody's name.
    const bool own = row.pid == ::getpid() || (row.pid == 0 && row.path == path_on_mount_);
    if (!own) continue;
    sums.moved += row.read;
    sums.moved += row.write;
  }
  const auto stats = parse_stats(mount_->control_file("stats"));
  sums.syncs = stats.of(Operation::fsync).total().requests;
  sums.events = stats.gauges.events_published;
  return sums;
}

void BelowMeter::start() {
  if (unseen_.empty()) before_ = look();
}

Below BelowMeter::stop(bool refused) {
  Below below;
  below.unseen = unseen_;
  if (!unseen_.empty()) return below;
  auto now = look();
  if (now.watch != before_.watch || !now.moved.covers(before_.moved)) {
    below.unseen = "the daemon began to count anew meanwhile";
    return below;
  }
  below.witness = mount_ ? Below::Witness::daemon : Below::Witness::kernel;
  if (!mount_ && refused) {
    below.refused = true;
    return below;
  }
  now.moved -= before_.moved;
  below.moved = now.moved;
  below.syncs = now.syncs - before_.syncs;
  below.events_before = before_.events;
  return below;
}

std::string below_text(const Below& below, std::uint32_t block) {
  const auto& moved = below.moved;
  switch (below.witness) {
    case Below::Witness::nobody: return fmt::format("below: not known: {}", below.unseen);
    case Below::Witness::kernel:
      if (below.refused) return "below: nothing, the kernel refused it";
      return fmt::format("below: {} read from a disk, {} written (the kernel's account)",
                         blocks_text(moved.backing_read, block),
                         blocks_text(moved.backing_write, block));
    case Below::Witness::daemon: break;
  }
  if (moved.requests == 0) {
    if (below.syncs != 0) return fmt::format("below: {} fsync", below.syncs);
    return "below: the daemon saw no read or write";
  }
  auto text = "below: " + plural(moved.requests, "request");
  if (moved.rejected != 0) text += fmt::format(", {} refused", moved.rejected);
  if (moved.adapted != 0) text += fmt::format(", {} bounced or split", moved.adapted);
  if (moved.errors != 0) text += fmt::format(", {} failed", moved.errors);
  if (moved.backing_read + moved.backing_write != 0) {
    text += fmt::format("; {} read, {} written", blocks_text(moved.backing_read, block),
                        blocks_text(moved.backing_write, block));
  }
  if (moved.page_cache != 0) {
    text += fmt::format("; {} bytes through the page cache", moved.page_cache);
  }
  if (below.syncs != 0) text += fmt::format("; {} fsync", below.syncs);
  return text;
}

}  // namespace alignfs::ctl::lab
