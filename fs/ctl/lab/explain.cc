#include "alignfs/ctl/lab/explain.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <sstream>

#include "alignfs/base/unique_fd.h"
#include "alignfs/ctl/commands.h"
#include "alignfs/ctl/explanations.h"
#include "alignfs/io/probe.h"
#include "alignfs/report/caller.h"
#include "alignfs/report/event.h"
#include "alignfs/report/reporter.h"

namespace alignfs::ctl::lab {
Explainer::Explainer(const std::string& path) : path_(path), mount_(AlignfsMount::of(path)) {
  if (mount_) {
    const auto alignment = alignment_of(path).value_or(FileAlignment{});
    block_ = std::max(alignment.offset, 1U);
    if (alignment.direct_io == name_of(Verdict::unproven)) verdict_ = Verdict::unproven;
    try {
      maps_backing_ = mount_->options()["shared_mmap"] == "backing";
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

std::string Explainer::explain(const Outcome& outcome, Direction direction,
                               const Below& below) const {
  if (outcome.error != EINVAL) return "";
  // EINVAL has other reasons, too: those are not the daemon's.
  if (below.witness == Below::Witness::daemon && below.moved.rejected == 0) return "";
  if (mount_) return last_error();
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
  return mount_ ? xattr_of(path_, "user.alignfs.last_error").value_or("") : "";
}

std::string Explainer::adapted(const Below& below) const {
  if (!mount_ || below.moved.adapted == 0) return "";
  try {
    const auto events = newest({*mount_}, {.pid = ::getpid(), .path = {}}, 1);
    if (events.empty() || events.back().value("seq", std::uint64_t(0)) <= below.events_before) {
      return "";
    }
    return text_of(events.back());
  } catch (const CommandError&) {
    // Events are for the mount's owner.
    return "";
  }
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
