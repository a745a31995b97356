// alignctl top: who reads and writes what, as it happens.

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "alignfs/ctl/activity.h"
#include "alignfs/ctl/commands.h"
#include "alignfs/ctl/explanations.h"
#include "alignfs/ctl/mounts.h"
#include "alignfs/ctl/stop_signals.h"
#include "alignfs/ctl/top_view.h"
#include "alignfs/report/printable.h"

namespace alignfs::ctl {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kLook(1);

std::string title_of(const std::string& mountpoint, const AlignfsMount& mount) {
  auto title = "alignctl top  " + printable(mountpoint);
  const auto options = mount.options();
  for (const char* name : {"mode", "unaligned", "enforce"}) {
    const auto found = options.find(name);
    if (found != options.end()) title += fmt::format("  {}={}", name, found->second);
  }
  return title;
}

std::string explain(const AlignfsMount& mount, const Subject& subject) {
  try {
    const auto events = newest({mount}, subject, 1);
    if (events.empty()) return "Nothing was refused or adapted there, or it is forgotten.";
    return dated(events.back(), text_of(events.back()));
  } catch (const CommandError& error) {
    return error.what();
  }
}

/// Shows it until somebody has seen enough. False if the mount was taken away meanwhile.
bool show(const AlignfsMount& mount, TopView view) {
  StopSignals signals;
  view.take(look_at_activity(mount), 0);
  auto looked = Clock::now();
  Screen screen;
  for (;;) {
    screen.show(view.lines(screen.rows(), screen.columns()));
    const auto woken = signals.wait(STDIN_FILENO, looked + kLook);
    if (woken == StopSignals::Woken::stop || woken == StopSignals::Woken::closed) return true;
    while (const auto key = screen.key()) {
      if (!view.press(*key)) return true;
    }
    const auto now = Clock::now();
    if (now < looked + kLook) continue;
    try {
      view.take(look_at_activity(mount), std::chrono::duration<double>(now - looked).count());
    } catch (const CommandError&) {
      if (mount.events_published()) throw;
      return false;
    }
    looked = now;
  }
}

void top(const std::string& mountpoint) {
  const auto mount = AlignfsMount::must_be(mountpoint);
  if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0) {
    throw CommandError("top needs a terminal; alignctl stats --interval 1 needs none");
  }
  TopView view(title_of(mountpoint, mount),
               [&mount](const Subject& subject) { return explain(mount, subject); });
  if (!show(mount, std::move(view))) {
    fmt::print(stderr, "alignctl: {} was unmounted\n", printable(mountpoint));
  }
}

}  // namespace

void add_top(CLI::App& app, int&) {
  auto mountpoint = std::make_shared<std::string>();
  auto* command = app.add_subcommand("top", "who reads and writes what, live; h helps");
  command->add_option("MOUNTPOINT", *mountpoint, "or anything on the mount")->required();
  command->callback([mountpoint] { top(*mountpoint); });
}

}  // namespace alignfs::ctl
