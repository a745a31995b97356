#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "alignfs/ctl/commands.h"
#include "alignfs/report/printable.h"

namespace alignfs::ctl {
namespace {

constexpr int kWrong = 2;

int complain(const char* what) {
  fmt::print(stderr, "alignctl: {}\n", harmless(what));
  return kWrong;
}

/// What follows "--" in a command line of check, cut off from it.
std::vector<std::string> take_command(int& argc, char** argv) {
  const std::string_view kCheck = "check", kEnd = "--";
  const auto end = std::find(argv, argv + argc, kEnd);
  if (end == argv + argc || std::find(argv, end, kCheck) == end) return {};
  std::vector<std::string> command(end + 1, argv + argc);
  argc = int(end - argv);
  return command;
}

int run(int argc, char** argv) {
  const auto command = take_command(argc, argv);
  CLI::App app("Asks alignfs, and any file, about direct I/O.", "alignctl");
  app.set_version_flag("-V,--version", "alignctl " ALIGNFS_VERSION);
  app.require_subcommand(1);
  int status = 0;
  add_geometry(app, status);
  add_lab(app, status);
  add_why(app, status);
  add_watch(app, status);
  add_stats(app, status);
  add_top(app, status);
  add_check(app, status, command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return complain(fmt::format("{} (alignctl -h for help)", error.what()).c_str());
  } catch (const CommandError& error) {
    return complain(error.what());
  }
  return status;
}

}  // namespace
}  // namespace alignfs::ctl

int main(int argc, char** argv) {
  // A reader who has seen enough is no failure to tell of.
  std::signal(SIGPIPE, SIG_DFL);
  try {
    return alignfs::ctl::run(argc, argv);
  } catch (const std::exception& problem) {
    return alignfs::ctl::complain(problem.what());
  }
}
