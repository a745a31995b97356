// alignctl why: the newest explanations for a file, a mount, a process, or of all mounts.

#include <fmt/format.h>

#include <charconv>
#include <filesystem>

#include "alignfs/ctl/commands.h"
#include "alignfs/ctl/explanations.h"
#include "alignfs/ctl/mounts.h"

namespace alignfs::ctl {
namespace {

struct Question {
  std::string subject;
  unsigned count = 1;
  bool json = false;
};

/// What was asked about, and on which mounts.
struct Scope {
  std::vector<AlignfsMount> mounts;
  std::string file;  ///< as it was given
  Subject subject;
};

std::optional<pid_t> as_pid(const std::string& text) {
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc() || end != text.data() + text.size() || pid <= 0) return std::nullopt;
  return pid;
}

Scope scope_of(const std::string& subject) {
  if (subject.empty()) return {AlignfsMount::all(), "", {}};
  // A file may be called 4711; a process that has ended may have left explanations.
  if (const auto pid = as_pid(subject); pid && !std::filesystem::exists(subject)) {
    return {AlignfsMount::all(), "", {.pid = *pid, .path = {}}};
  }
  auto mount = AlignfsMount::must_be(subject);
  auto path = mount.path_on_mount(subject);
  if (path == "/") return {{std::move(mount)}, "", {}};
  return {{std::move(mount)}, subject, {.pid = {}, .path = std::move(path)}};
}

/// The file remembers its last refusal when the ring has forgotten it, and tells anybody of his
/// own.
std::optional<std::string> last_error_of(const Scope& scope) {
  if (scope.file.empty()) return std::nullopt;
  return xattr_of(scope.file, "user.alignfs.last_error");
}

void answer(const Question& question, int& status) {
  const auto scope = scope_of(question.subject);
  std::deque<Event> events;
  std::optional<std::string> remembered;
  try {
    events = newest(scope.mounts, scope.subject, question.count);
  } catch (const CommandError&) {
    // Who does not own the mount may not see everybody's events.
    remembered = last_error_of(scope);
    if (!remembered) throw;
  }
  if (events.empty() && !remembered) remembered = last_error_of(scope);
  if (events.empty() && remembered) {
    fmt::print("{}\n", question.json ? Event{{"text", *remembered}}.dump() : *remembered);
    return;
  }
  for (const auto& event : events) {
    fmt::print("{}\n", question.json ? event.dump() : dated(event, text_of(event)));
  }
  if (!events.empty()) return;
  status = 1;
  fmt::print(stderr, "alignctl: nothing was refused or adapted{}\n",
             question.subject.empty() ? "" : " there");
}

}  // namespace

void add_why(CLI::App& app, int& status) {
  auto question = std::make_shared<Question>();
  auto* command = app.add_subcommand("why", "the newest explanations for a file, mount or process");
  command->add_option("SUBJECT", question->subject,
                      "a file or the top of a mount, or a process id; all mounts without");
  command->add_option("-n,--count", question->count, "how many, the newest last")
      ->check(CLI::Range(1U, 1U << 20))
      ->capture_default_str();
  command->add_flag("--json", question->json, "as lines of JSON");
  command->callback([question, &status] { answer(*question, status); });
}

}  // namespace alignfs::ctl
