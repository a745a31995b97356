#include "alignfs/ctl/lab/line_reader.h"

#include <editline/readline.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <memory>
#include <sstream>

#include "alignfs/ctl/lab/interrupt.h"

namespace alignfs::ctl::lab {
namespace {

constexpr const char* kPrompt = "lab> ";
constexpr int kHistoryLines = 1000;

// The library calls back without an argument.
LineReader::Complete complete_words;
std::vector<std::string> matches;

std::string history_path() {
  std::filesystem::path directory;
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state != '\0') {
    directory = state;
  } else if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    directory = std::filesystem::path(home) / ".local" / "state";
  } else {
    return "";
  }
  return directory / "alignfs" / "lab_history";
}

char* next_match(const char*, int number) {
  return std::size_t(number) < matches.size() ? ::strdup(matches[std::size_t(number)].c_str())
                                              : nullptr;
}

/// False if a signal asks for attention, before or while there is nothing to read.
bool wait_for_input() {
  pollfd either[] = {{STDIN_FILENO, POLLIN, 0}, {interrupt_fd(), POLLIN, 0}};
  while (::poll(either, std::size(either), -1) < 0 && errno == EINTR) {
  }
  return !interrupted();
}

/// The next letter that was typed, or EOF, also where a signal asks for attention: the library's
/// own function would go on reading.
int next_letter(FILE*) {
  std::mbstate_t state{};
  for (;;) {
    char byte = 0;
    if (!wait_for_input() || ::read(STDIN_FILENO, &byte, 1) <= 0) return EOF;
    wchar_t letter = 0;
    const auto length = std::mbrtowc(&letter, &byte, 1, &state);
    if (length <= 1) return int(letter);
    if (length == std::size_t(-1)) return '?';
  }
}

/// Matches of the word that ends at `end`.
char** complete(const char* text, int, int end) {
  // File names are for no command but save and run, which are typed rarely.
  rl_attempted_completion_over = 1;
  std::istringstream line(std::string(rl_line_buffer, std::size_t(end)));
  std::vector<std::string> words;
  for (std::string word; line >> word;) words.push_back(word);
  const bool begins_a_word = *text == '\0';
  if (begins_a_word) words.emplace_back();
  matches.clear();
  for (auto& word : complete_words(words)) {
    if (word.starts_with(text)) matches.push_back(std::move(word));
  }
  return matches.empty() ? nullptr : rl_completion_matches(text, next_match);
}

}  // namespace

LineReader::LineReader(Complete completion) : on_terminal_(::isatty(STDIN_FILENO) != 0) {
  if (!on_terminal_) return;
  std::setlocale(LC_CTYPE, "");
  complete_words = std::move(completion);
  rl_readline_name = "alignctl";
  rl_attempted_completion_function = complete;
  rl_getc_function = next_letter;
  // Of "@0" and "mem+16" the signs belong to the word.
  static char breaks[] = " \t\n";
  rl_basic_word_break_characters = breaks;
  using_history();
  stifle_history(kHistoryLines);
  history_ = history_path();
  if (!history_.empty()) ::read_history(history_.c_str());
}

LineReader::~LineReader() {
  if (!on_terminal_ || history_.empty()) return;
  std::error_code none;
  std::filesystem::create_directories(std::filesystem::path(history_).parent_path(), none);
  ::write_history(history_.c_str());
}

std::optional<std::string> LineReader::next() {
  while (!asked_to_end()) {
    if (!on_terminal_) {
      std::string line;
      if (std::getline(std::cin, line)) return line;
      return std::nullopt;
    }
    forget_interrupt();
    const std::unique_ptr<char, decltype(&std::free)> line(::readline(kPrompt), &std::free);
    if (line) {
      if (*line != '\0') ::add_history(line.get());
      return line.get();
    }
    std::puts("");
    // Ctrl-C takes back what was typed; Ctrl-D at its beginning is the end.
    if (!interrupted()) return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace alignfs::ctl::lab
