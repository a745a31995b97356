#pragma once

#include <CLI/CLI.hpp>
#include <stdexcept>
#include <string>
#include <vector>

/// The subcommands of alignctl, one room each. Each function adds its command to `app`; parsing a
/// command line that names it runs it, and stores its exit status in `status`: 0 done, 1 done and
/// something to complain about, as each command says. What cannot be done throws CommandError.
namespace alignfs::ctl {

/// One line for stderr, without a prefix; alignctl exits with 2.
class CommandError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// "cannot WHAT PATH: REASON", for the errno `error`.
CommandError cannot(const char* what, const std::string& path, int error);

/// To the standard output at once: whoever reads it by a pipe wants it as it happens. CommandError
/// where that cannot be written.
void print_now(const std::string& text);

void add_geometry(CLI::App& app, int& status);
void add_lab(CLI::App& app, int& status);
void add_why(CLI::App& app, int& status);
void add_watch(CLI::App& app, int& status);
void add_stats(CLI::App& app, int& status);
void add_top(CLI::App& app, int& status);
/// `command` is what stood after "--", which the parser must not interpret.
void add_check(CLI::App& app, int& status, const std::vector<std::string>& command);

}  // namespace alignfs::ctl
