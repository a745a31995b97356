#include "alignfs/ctl/lab/explain.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <sstream>

#include "alignfs/base/unique_fd.h"
#include "alignfs/ctl/commands.h"
#include "alignfs/ctl/events.h"
#include "alignfs/ctl/mounts.h"
#include "alignfs/io/probe.h"
#include "alignfs/report/caller.h"
#include "alignfs/report/event.h"
#include "alignfs/report/reporter.h"

namespace alignfs::ctl::lab {
namespace {

/// The number behind `name` in the alignment xattr.
std::uint32_t number_in(const std::string& alignment, const std::string& name) {
  const auto found = (" " + alignment).find(" " + name + "=");
  std::uint32_t number = 0;
  if (found == std::string::npos) return number;
  const char* const begin = alignment.data() + found + name.size() + 1;
  std::from_chars(begin, alignment.data() + alignment.size(), number);
  return number;
}

}  // namespace

Explainer::Explainer(const std::string& path)
    : path_(path), on_mount_(AlignfsMount::of(path).has_value()) {
  if (on_mount_) {
    const auto alignment = xattr_of(path, "user.alignfs.alignment").value_or("");
    block_ = std::max(number_in(alignment, "offset"), 1U);
    if (alignment.find("direct_io=unproven") != alignment.npos) verdict_ = Verdict::unproven;
    try {
      maps_backing_ = AlignfsMount::must_be(path).options()["shared_mmap"] == "backing";
    } catch (const CommandError&) {
      // Options are for the mount's owner.
    }
    return;
  }
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw cannot("open", path, errno);
  const auto backing = enable_direct_io(fd.get());
  if (!backing) throw cannot("ask", path, backing.code());
  geometry_ = make_geometry(*backing, {});
  verdict_ = geometry_.verdict;
  block_ = geometry_.judged.write.bytes;
  const auto parent = std::filesystem::path(canonical(path)).parent_path();
  const UniqueFd directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) vector_rule_ = probe_vector_rule(directory.get());
}

void Explainer::start() {
  if (!on_mount_) return;
  events_before_ = AlignfsMount::must_be(path_).events_published().value_or(0);
}

std::string Explainer::explain(const Outcome& outcome, Direction direction,
                               const Below& below) const {
  if (outcome.error != EINVAL) return "";
  // EINVAL has other reasons, too: those are not the daemon's.
  if (below.witness == Below::Witness::daemon && below.moved.rejected == 0) return "";
  if (on_mount_) return last_error();
  if (verdict_ != Verdict::native) return "";
  alignfs::Event event;
  event.direction = direction;
  event.process = describe_process(::gettid(), ::getuid());
  event.path = canonical(path_);
  event.view = {CallView::Kind::seen, outcome.call, ""};
  event.rules = rules_for(geometry_, direction, vector_rule_);
  event.diagnosis = diagnose(event.view.call, event.rules);
  event.error = outcome.error;
  struct stat facts {};
  if (::stat(path_.c_str(), &facts) == 0) event.device = device_name(facts.st_dev);
  return event.diagnosis.legal() ? "" : to_text(event);
}

std::string Explainer::last_error() const {
  return on_mount_ ? xattr_of(path_, "user.alignfs.last_error").value_or("") : "";
}

std::string Explainer::newest_event() const {
  if (!on_mount_) return "";
  std::string newest;
  try {
    const auto mount = AlignfsMount::must_be(path_);
    EventReader reader(mount.open_events());
    while (const auto event = reader.next()) {
      if (field(*event, "pid") == std::to_string(::getpid()) &&
          event->value("seq", std::uint64_t(0)) > events_before_) {
        newest = text_of(*event);
      }
    }
  } catch (const CommandError&) {
    // Events are for the mount's owner.
  }
  return newest;
}

std::string rules_of(const std::string& explanation) {
  std::string rules;
  std::istringstream lines(explanation);
  for (std::string line; std::getline(lines, line);) {
    if (!broken_rules_in(line).empty()) rules += line + "\n";
  }
  return rules;
}

std::string broken_rules_in(const std::string& explanation) {
  std::string rules;
  std::istringstream lines(explanation);
  for (std::string line; std::getline(lines, line);) {
    for (const char* rule : {"memory", "offset", "length"}) {
      if (!line.starts_with(fmt::format("  {}  ", rule))) continue;
      if (!rules.empty()) rules += ", ";
      rules += rule;
    }
  }
  return rules;
}

}  // namespace alignfs::ctl::lab
