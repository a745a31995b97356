#include "alignfs/ctl/lab/compare.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <set>
#include <sstream>
#include <vector>

#include "alignfs/ctl/commands.h"
#include "alignfs/ctl/lab/below.h"
#include "alignfs/ctl/lab/explain.h"
#include "alignfs/ctl/lab/interrupt.h"
#include "alignfs/ctl/lab/scratch.h"
#include "alignfs/ctl/mounts.h"
#include "alignfs/ctl/temporary_mount.h"

namespace alignfs::ctl::lab {
namespace {

constexpr std::uint64_t kDefaultLength = 4096;

using Row = std::vector<std::string>;

/// Columns as wide as their widest cell; nothing behind the last.
std::string table(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += fmt::format("  {:<{}}", row[i], widths[i]);
    }
    line.resize(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

/// One request, and all that is to be learnt of it.
struct Trial {
  Outcome outcome;
  Below below;
  std::string explanation;

  std::string result() const {
    return outcome.error == 0 ? fmt::format("{} bytes", outcome.all_bytes)
                              : ::strerrorname_np(outcome.error);
  }
  std::string rules() const { return broken_rules_in(explanation); }
};

Trial try_request(LabFile& file, const Explainer& explainer, const Request& request) {
  if (interrupted()) throw CommandError("interrupted");
  BelowMeter meter(file.path());
  Buffers buffers(request);
  if (request.direction == Direction::write) buffers.fill('x');
  Trial trial;
  meter.start();
  trial.outcome = file.transfer(request, buffers);
  trial.below = meter.stop(trial.outcome.refused());
  trial.explanation = explainer.explain(trial.outcome, request.direction, trial.below);
  return trial;
}

Row row_of(const std::string& name, const Trial& trial) {
  const auto& moved = trial.below.moved;
  const auto rules = trial.rules();
  return {name,
          trial.result(),
          rules.empty() ? "-" : rules,
          std::to_string(moved.backing_read),
          std::to_string(moved.backing_write),
          trial.below.witness == Below::Witness::daemon ? std::to_string(moved.page_cache) : "-",
          time_text(trial.outcome.time)};
}

Trial try_at(const std::string& path, const OpenHow& how, const Request& request) {
  LabFile file(path, how);
  return try_request(file, Explainer(path), request);
}

/// Who asks for what, once each: what stands behind "needs" in an explanation.
void collect_needs(const std::string& explanation, std::set<std::string>& needs) {
  constexpr std::string_view kNeeds = "   needs ";
  std::istringstream lines(explanation);
  for (std::string line; std::getline(lines, line);) {
    const auto found = line.find(kNeeds);
    if (found == line.npos) continue;
    needs.insert(
        fmt::format("  {}: needs {}", broken_rules_in(line), line.substr(found + kNeeds.size())));
  }
}

}  // namespace

std::string compare(const LabFile& file, const Request& request) {
  auto below = file.path();
  std::string alignment, memory;
  if (const auto mount = AlignfsMount::of(file.path())) {
    auto options = mount->options();
    below = options["source"] + mount->path_on_mount(file.path());
    if (options.contains("align")) alignment += ",align=" + options["align"];
    if (options.contains("mem_align")) memory = ",mem_align=" + options["mem_align"];
  }
  const Scratch scratch(below);
  const auto copy_in = [&](const char* name) {
    auto directory = scratch.directory(name);
    copy_file(below, directory + "/file");
    return directory;
  };
  std::vector<Row> rows = {
      {"", "outcome", "broken", "read below", "written below", "page cache", "time"}};
  const OpenHow how;
  rows.push_back(
      row_of("raw O_DIRECT on the backing", try_at(copy_in("raw") + "/file", how, request)));
  for (const std::string policy : {"reject", "bounce"}) {
    // What bounces is judged by no address.
    const TemporaryMount mount(copy_in(policy.c_str()),
                               fmt::format("unaligned={},log_level=error{}{}", policy, alignment,
                                           policy == "reject" ? memory : ""));
    rows.push_back(
        row_of("alignfs, unaligned=" + policy, try_at(mount.path() + "/file", how, request)));
  }
  return table(rows);
}

std::string sweep(const LabFile& file, const Sweep& sweep) {
  constexpr const char* kNames[] = {"mem", "offset", "length"};
  const Scratch scratch(file.path());
  const auto path = scratch.path() + "/file";
  copy_file(file.path(), path);
  auto wanted = sweep;
  if (wanted.request.pieces[0].bytes == 0) wanted.request.pieces[0].bytes = kDefaultLength;

  std::vector<Row> rows = {{kNames[std::size_t(sweep.varies)], "outcome", "broken", "below"}};
  std::set<std::string> needs;
  for (auto value = sweep.from; value <= sweep.to && !interrupted(); value += sweep.step) {
    const Explainer explainer(path);
    LabFile copy(path, file.how());
    const auto trial = try_request(copy, explainer, wanted.at(value));
    const auto rules = trial.rules();
    auto below = below_text(trial.below, explainer.block());
    below.erase(0, below.find(' ') + 1);
    rows.push_back({std::to_string(value), trial.result(), rules.empty() ? "-" : rules, below});
    collect_needs(trial.explanation, needs);
    if (sweep.request.direction == Direction::read || value + sweep.step > sweep.to) continue;
    // Each begins with the same file.
    ::unlink(path.c_str());
    copy_file(file.path(), path);
  }
  auto text = table(rows);
  for (const auto& need : needs) text += need + "\n";
  return text;
}

}  // namespace alignfs::ctl::lab
