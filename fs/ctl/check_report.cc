#include "alignfs/ctl/check_report.h"

#include <fmt/format.h>

#include "alignfs/ctl/units.h"
#include "alignfs/report/printable.h"

namespace alignfs::ctl {
namespace {

std::string or_unknown(std::string text) { return text.empty() ? "(unknown)" : std::move(text); }

std::string broken_of(const Event& event) {
  std::string names;
  for (const auto& name : event.value("broken", Event::array())) {
    names += (names.empty() ? "" : ", ") + name.get<std::string>();
  }
  return names;
}

std::string indented(const std::string& text) {
  std::string result = "    ";
  for (const char letter : text) {
    result += letter;
    if (letter == '\n') result += "    ";
  }
  return result;
}

/// XML 1.0 has no way to write most control characters: what comes here has none but newlines.
std::string escaped(const std::string& text) {
  std::string result;
  for (const char letter : text) {
    switch (letter) {
      case '&': result += "&amp;"; break;
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      case '"': result += "&quot;"; break;
      default: result += letter;
    }
  }
  return result;
}

}  // namespace

void CheckReport::add(const Event& event) {
  // Names are chosen by strangers, and this is for a terminal or an XML parser.
  auto& group =
      groups_[{or_unknown(printable(field(event, "comm"))),
               or_unknown(printable(field(event, "path"))), field(event, "op"), broken_of(event)}];
  if (group.calls == 0) group.first = event;
  group.calls += event.value("repeated", std::uint64_t(1));
}

std::uint64_t CheckReport::calls() const {
  std::uint64_t sum = 0;
  for (const auto& [key, group] : groups_) sum += group.calls;
  return sum;
}

std::string CheckReport::to_text() const {
  if (clean()) return "clean: no misaligned call\n";
  auto text = fmt::format("{} in {}\n", plural(calls(), "misaligned call"),
                          plural(groups_.size(), "group"));
  for (const auto& [key, group] : groups_) {
    const auto& [program, file, operation, broken] = key;
    text += fmt::format("\n{}: {} of {}: {}  ({})\n{}\n", program, operation, file, broken,
                        plural(group.calls, "call"), indented(text_of(group.first)));
  }
  return text;
}

std::string CheckReport::to_json() const {
  Event report{{"clean", clean()}, {"calls", calls()}, {"groups", Event::array()}};
  for (const auto& [key, group] : groups_) {
    const auto& [program, file, operation, broken] = key;
    report["groups"].push_back({{"program", program},
                                {"path", file},
                                {"op", operation},
                                {"broken", group.first.value("broken", Event::array())},
                                {"calls", group.calls},
                                {"first", group.first}});
  }
  return report.dump();
}

std::string CheckReport::to_junit(const std::string& suite) const {
  auto xml = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\">\n",
      escaped(printable(suite)), clean() ? 1 : groups_.size(), groups_.size());
  if (clean()) xml += "  <testcase classname=\"alignment\" name=\"every call is aligned\"/>\n";
  for (const auto& [key, group] : groups_) {
    const auto& [program, file, operation, broken] = key;
    xml += fmt::format(
        "  <testcase classname=\"{}\" name=\"{} of {}: {}\">\n"
        "    <failure message=\"{}\">{}</failure>\n  </testcase>\n",
        escaped(program), operation, escaped(file), broken, plural(group.calls, "misaligned call"),
        escaped(text_of(group.first)));
  }
  return xml + "</testsuite>\n";
}

}  // namespace alignfs::ctl
