// alignctl lab: a shell to try unaligned I/O by hand.

#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "alignfs/ctl/commands.h"
#include "alignfs/ctl/lab/interrupt.h"
#include "alignfs/ctl/lab/line_reader.h"
#include "alignfs/ctl/lab/session.h"
#include "alignfs/report/printable.h"

namespace alignfs::ctl {
namespace {

constexpr int kGarbled = 2, kEnded = 130;

struct Wish {
  std::string file;
  std::vector<std::string> lines;
};

void print(const std::string& line) {
  fmt::print("{}\n", harmless(line));
  std::fflush(stdout);
}

/// False if the line could not be understood or done.
bool run(lab::Session& session, const std::string& line) {
  try {
    session.run(line);
    return true;
  } catch (const std::exception& error) {
    // Whatever it was, the sitting goes on.
    std::fflush(stdout);
    fmt::print(stderr, "alignctl: {}\n", harmless(error.what()));
    return false;
  }
}

void experiment(const Wish& wish, int& status) {
  lab::take_interrupts();
  lab::Session session(wish.file, print);
  bool understood = true;
  bool cut_short = false;
  if (!wish.lines.empty()) {
    for (const auto& line : wish.lines) {
      if ((cut_short = lab::interrupted()) || session.over()) break;
      understood &= run(session, line);
    }
  } else {
    lab::LineReader reader(lab::Session::completions);
    while (!session.over()) {
      const auto line = reader.next();
      if (!line) break;
      // Who reads a transcript wants to see what was said.
      if (!reader.on_terminal()) print("> " + *line);
      const bool done = run(session, *line);
      // At a prompt the person has seen it.
      understood &= done || reader.on_terminal();
      if ((cut_short = lab::interrupted() && !reader.on_terminal())) break;
    }
  }
  if (!understood) status = kGarbled;
  if (cut_short || lab::asked_to_end()) status = kEnded;
}

}  // namespace

void add_lab(CLI::App& app, int& status) {
  auto wish = std::make_shared<Wish>();
  auto* command = app.add_subcommand("lab", "a shell to try unaligned I/O by hand");
  command->add_option("FILE", wish->file, "a file to try it on, mounted or not")->required();
  command->add_option("-c,--command", wish->lines, "a line to run instead of asking; repeatable")
      ->allow_extra_args(false);
  command->footer(
      "Lines come from the standard input; on a terminal with editing, history and completion. "
      "Type help there.\nExit status: 0; 2 if a line from -c or a script could not be understood "
      "or "
      "done. That a request is refused is no failure of the lab.");
  command->callback([wish, &status] { experiment(*wish, status); });
}

}  // namespace alignfs::ctl
