#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "alignfs/ctl/events.h"

namespace alignfs::ctl {

/// What a program did wrong during a check, grouped by program, file and rule. A value.
class CheckReport {
 public:
  /// Takes in one event that tells of a misaligned request.
  void add(const Event& event);

  bool clean() const { return groups_.empty(); }
  /// Misaligned calls, those that were merged into one event counted each.
  std::uint64_t calls() const;

  /// For people: a heading, and for each group its count and its first explanation.
  std::string to_text() const;
  /// One object: "clean", "calls" and "groups".
  std::string to_json() const;
  /// A test suite named `suite` with one failed case a group, or one that passed.
  std::string to_junit(const std::string& suite) const;

 private:
  /// Program, file, operation, broken rules.
  using Key = std::tuple<std::string, std::string, std::string, std::string>;
  struct Group {
    std::uint64_t calls = 0;
    Event first;
  };

  std::map<Key, Group> groups_;
};

}  // namespace alignfs::ctl
