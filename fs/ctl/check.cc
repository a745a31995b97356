// alignctl check: a command on a strict mount, and what it did wrong there.

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "alignfs/ctl/check_report.h"
#include "alignfs/ctl/commands.h"
#include "alignfs/ctl/mounts.h"
#include "alignfs/ctl/temporary_mount.h"

namespace alignfs::ctl {
namespace {

struct Wish {
  std::string directory, junit;
  std::string align, memory;
  bool every_file = false, audit = false, json = false;
};

/// Events that the mount keeps until the command has ended.
constexpr unsigned kEvents = 200'000;

std::string options_for(const Wish& wish) {
  auto options =
      fmt::format("unaligned={},enforce={},events={},log_level=error",
                  wish.audit ? "audit" : "reject", wish.every_file ? "all" : "odirect", kEvents);
  if (!wish.align.empty()) options += ",align=" + wish.align;
  if (!wish.memory.empty()) options += ",mem_align=" + wish.memory;
  // The command may act for several users.
  if (::geteuid() == 0) options += ",allow_other";
  return options;
}

std::string with_path(std::string argument, const std::string& path) {
  for (auto at = argument.find("{}"); at != argument.npos; at = argument.find("{}", at)) {
    argument.replace(at, 2, path);
    at += path.size();
  }
  return argument;
}

/// The command while it runs, and the signal that asked for the end before it did.
std::atomic<pid_t> running{0};
std::atomic<int> asked_to_end{0};

void hand_on(int signal) {
  if (running == 0) {
    asked_to_end = signal;
  } else if (signal == SIGTERM || signal == SIGHUP) {
    // The others come from the terminal, and reach the command by themselves.
    ::kill(running, signal);
  }
}

/// From here on everything is taken down, whatever is sent.
void take_signals() {
  struct sigaction action {};
  action.sa_handler = hand_on;
  for (const int signal : {SIGTERM, SIGHUP, SIGINT, SIGQUIT}) {
    ::sigaction(signal, &action, nullptr);
  }
}

/// The command's exit status as a shell has it.
int run(const std::vector<std::string>& command, const std::string& path) {
  std::vector<std::string> words;
  for (const auto& word : command) words.push_back(with_path(word, path));
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  const pid_t child = ::fork();
  if (child < 0) throw CommandError(fmt::format("cannot run it: {}", std::strerror(errno)));
  if (child == 0) {
    ::setenv("ALIGNFS_MOUNT", path.c_str(), 1);
    ::execvp(arguments[0], arguments.data());
    fmt::print(stderr, "alignctl: cannot run {}: {}\n", arguments[0], std::strerror(errno));
    ::_exit(127);
  }
  running = child;
  if (asked_to_end != 0) ::kill(child, SIGTERM);
  const int status = wait_for(child);
  running = 0;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

CheckReport collect(const AlignfsMount& mount, const char* action) {
  CheckReport report;
  std::uint64_t first = 0;
  EventReader reader(mount.open_events());
  while (const auto event = reader.next()) {
    if (first == 0) first = event->value("seq", std::uint64_t(1));
    if (field(*event, "action") == action) report.add(*event);
  }
  if (first > 1) {
    fmt::print(stderr, "alignctl: the first {} events were too many to keep and are left out\n",
               first - 1);
  }
  return report;
}

void check(const Wish& wish, const std::vector<std::string>& command, int& status) {
  if (command.empty()) throw CommandError("check needs -- and a COMMAND (alignctl check -h)");
  CheckReport report;
  int ended = 0;
  take_signals();
  {
    const TemporaryMount temporary(wish.directory, options_for(wish));
    ended = run(command, temporary.path());
    report = collect(AlignfsMount::must_be(temporary.path()), wish.audit ? "bounced" : "rejected");
  }
  // On stderr, so that it stands apart from what the command prints.
  fmt::print(stderr, "{}", wish.json ? report.to_json() + "\n" : report.to_text());
  if (!wish.junit.empty()) {
    std::ofstream file(wish.junit);
    file << report.to_junit("alignctl check " + command[0]);
    file.close();
    if (!file) throw CommandError(fmt::format("cannot write {}", wish.junit));
  }
  status = report.clean() ? ended : 1;
}

}  // namespace

void add_check(CLI::App& app, int& status, const std::vector<std::string>& command_line) {
  auto wish = std::make_shared<Wish>();
  auto* command = app.add_subcommand("check", "runs a command on a strict mount of a directory");
  command->add_option("DIR", wish->directory, "what is mounted")->required();
  command->add_option("--align", wish->align, "offset and length boundary, a power of two");
  command->add_option("--mem-align", wish->memory, "boundary of buffers, a power of two");
  command->add_flag("--all", wish->every_file,
                    "judge every file, not those opened with O_DIRECT alone");
  command->add_flag("--audit", wish->audit, "accept what is misaligned, and report it");
  command->add_flag("--json", wish->json, "the report as JSON");
  command->add_option("--junit", wish->junit, "a file for a report that test runners read");
  command->footer(
      "alignctl check [OPTIONS] DIR -- COMMAND ...: {} in COMMAND stands for the mountpoint, as "
      "does $ALIGNFS_MOUNT.\nExit status: 0 clean; 1 something was misaligned; else that of the "
      "command. The report goes to the standard error.");
  command->callback([wish, &status, command_line] { check(*wish, command_line, status); });
}

}  // namespace alignfs::ctl
