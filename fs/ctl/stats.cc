// alignctl stats: the counters of a mount for people, once or as they grow.

#include <fmt/format.h>

#include <chrono>
#include <cstdio>

#include "alignfs/ctl/commands.h"
#include "alignfs/ctl/mounts.h"
#include "alignfs/ctl/stats_report.h"
#include "alignfs/ctl/stop_signals.h"

namespace alignfs::ctl {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr double kShortest = 0.01, kLongest = 86400;

struct Wish {
  std::string mountpoint;
  std::optional<double> interval;  ///< seconds
  bool json = false;
};

struct Look {
  Stats stats;
  Clock::time_point at;
};

Look look_at(const AlignfsMount& mount) {
  return {parse_stats(mount.control_file("stats")), Clock::now()};
}

/// The same; nothing where the mount is gone.
std::optional<Look> look_again_at(const AlignfsMount& mount) {
  try {
    return look_at(mount);
  } catch (const CommandError&) {
    if (mount.events_published()) throw;
    return std::nullopt;
  }
}

void print(const Stats& stats, std::optional<double> seconds, bool json) {
  Span span{{}, seconds};
  ::clock_gettime(CLOCK_REALTIME, &span.end);
  print_now(json ? stats_json(stats, span) + "\n"
                 : stats_text(stats, span) + (seconds ? "\n" : ""));
}

/// Until a signal or the unmount.
void follow(const AlignfsMount& mount, const Wish& wish) {
  const auto interval = std::chrono::duration_cast<Clock::duration>(Seconds(*wish.interval));
  auto before = look_at(mount);
  StopSignals signals;
  for (auto next = before.at + interval; signals.wait(-1, next) != StopSignals::Woken::stop;) {
    const auto now = look_again_at(mount);
    const auto grown = now ? difference(now->stats, before.stats) : std::nullopt;
    if (!grown) return;
    print(*grown, Seconds(now->at - before.at).count(), wish.json);
    before = *now;
    // After one that came late the next ones keep their distance.
    next += interval;
    if (next <= before.at) next = before.at + interval;
  }
}

void stats(const Wish& wish) {
  if (wish.interval && !(*wish.interval >= kShortest && *wish.interval <= kLongest)) {
    throw CommandError(
        fmt::format("--interval is {} to {} seconds, not {}", kShortest, kLongest, *wish.interval));
  }
  const auto mount = AlignfsMount::must_be(wish.mountpoint);
  if (wish.interval) return follow(mount, wish);
  print(look_at(mount).stats, std::nullopt, wish.json);
}

}  // namespace

void add_stats(CLI::App& app, int&) {
  auto wish = std::make_shared<Wish>();
  auto* command = app.add_subcommand("stats", "the counters of a mount, once or as they grow");
  command->add_option("MOUNTPOINT", wish->mountpoint, "or anything on the mount")->required();
  command->add_option("--interval", wish->interval,
                      "every so many seconds what came meanwhile, until Ctrl-C or the unmount");
  command->add_flag("--json", wish->json, "lines of JSON");
  command->callback([wish] { stats(*wish); });
}

}  // namespace alignfs::ctl
