// alignctl watch: explanations as they happen.

#include <fmt/format.h>
#include <fnmatch.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "alignfs/ctl/commands.h"
#include "alignfs/ctl/events.h"
#include "alignfs/ctl/mounts.h"

namespace alignfs::ctl {
namespace {

constexpr std::chrono::milliseconds kLook(100);

struct Wish {
  std::string mountpoint, comm, path;
  bool full = false, json = false, kept = false;

  bool matches(const Event& event) const {
    return (comm.empty() || field(event, "comm") == comm) &&
           (path.empty() || ::fnmatch(path.c_str(), field(event, "path").c_str(), 0) == 0);
  }
};

void print(const Event& event, const Wish& wish) {
  const auto line =
      wish.json ? event.dump() : dated(event, wish.full ? text_of(event) : headline_of(event));
  print_now(line + "\n");
}

/// Events up to `seen` are known. Returns the newest.
std::uint64_t catch_up(const AlignfsMount& mount, std::uint64_t seen, const Wish& wish) {
  EventReader reader(mount.open_events());
  for (std::optional<Event> event; (event = reader.next());) {
    const auto number = event->value("seq", std::uint64_t(0));
    if (number <= seen) continue;
    if (seen != 0 && number > seen + 1) {
      fmt::print(stderr, "alignctl: {} more came faster than the mount could keep them\n",
                 number - seen - 1);
    }
    seen = number;
    if (wish.matches(*event)) print(*event, wish);
  }
  return seen;
}

/// Looks again and again instead of waiting in a read: a file that is held open keeps the mount
/// from being unmounted.
void watch(const Wish& wish) {
  const auto mount = AlignfsMount::must_be(wish.mountpoint);
  const auto kept = mount.events_published();
  std::uint64_t seen = wish.kept ? 0 : kept.value_or(0);
  if (!kept) throw CommandError(fmt::format("cannot read {}", mount.events_path()));
  for (auto now = kept; now && *now >= seen; now = mount.events_published()) {
    try {
      if (*now != seen) seen = catch_up(mount, seen, wish);
    } catch (const CommandError&) {
      // It was unmounted between the two looks; else it is told of.
      if (mount.events_published()) throw;
    }
    std::this_thread::sleep_for(kLook);
  }
}

}  // namespace

void add_watch(CLI::App& app, int&) {
  auto wish = std::make_shared<Wish>();
  auto* command = app.add_subcommand("watch", "explanations as they happen, until the unmount");
  command->add_option("MOUNTPOINT", wish->mountpoint, "or anything on the mount")->required();
  command->add_flag("--full", wish->full, "the whole explanations");
  command->add_flag("--json", wish->json, "lines of JSON")->excludes("--full");
  command->add_flag("--kept", wish->kept, "first those that the mount has kept");
  command->add_option("--comm", wish->comm, "of programs of this name alone");
  command->add_option("--path", wish->path, "of files that match this pattern, as '/db/*'");
  command->callback([wish] { watch(*wish); });
}

}  // namespace alignfs::ctl
