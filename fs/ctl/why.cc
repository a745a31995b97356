// alignctl why: the newest explanations for a file, a mount, a process, or of all mounts.

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <filesystem>

#include "alignfs/ctl/commands.h"
#include "alignfs/ctl/events.h"
#include "alignfs/ctl/mounts.h"

namespace alignfs::ctl {
namespace {

struct Question {
  std::string subject;
  unsigned count = 1;
  bool json = false;
};

/// What the subject stands for: events of these mounts, if given of this file or process alone.
struct Scope {
  std::vector<AlignfsMount> mounts;
  std::string file;  ///< as it was given
  std::string path_on_mount;
  pid_t pid = 0;

  bool holds(const Event& event) const {
    if (pid != 0 && field(event, "pid") != std::to_string(pid)) return false;
    return path_on_mount.empty() || field(event, "path") == path_on_mount;
  }
};

std::optional<pid_t> as_pid(const std::string& text) {
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc() || end != text.data() + text.size() || pid <= 0) return std::nullopt;
  return pid;
}

Scope scope_of(const std::string& subject) {
  if (subject.empty()) return {AlignfsMount::all(), "", "", 0};
  // A file may be called 4711; a process that has ended may have left explanations.
  if (const auto pid = as_pid(subject); pid && !std::filesystem::exists(subject)) {
    return {AlignfsMount::all(), "", "", *pid};
  }
  auto mount = AlignfsMount::must_be(subject);
  auto path = mount.path_on_mount(subject);
  if (path == "/") return {{std::move(mount)}, "", "", 0};
  return {{std::move(mount)}, subject, std::move(path), 0};
}

/// The newest of each mount, oldest first.
std::deque<Event> newest(const Scope& scope, unsigned count) {
  std::deque<Event> found;
  for (const auto& mount : scope.mounts) {
    try {
      EventReader reader(mount.open_events());
      while (auto event = reader.next()) {
        if (scope.holds(*event)) found.push_back(*std::move(event));
      }
    } catch (const CommandError&) {
      // Among several, those of others say nothing.
      if (scope.mounts.size() == 1) throw;
    }
  }
  std::stable_sort(found.begin(), found.end(), [](const Event& one, const Event& other) {
    return field(one, "time") < field(other, "time");
  });
  while (found.size() > count) found.pop_front();
  return found;
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
    events = newest(scope, question.count);
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
