#include "alignfs/ctl/screen.h"

#define NCURSES_WIDECHAR 1
#define NCURSES_NOMACROS 1  // functions stay functions
#include <fmt/format.h>
#include <langinfo.h>
#include <ncurses.h>

#include <algorithm>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "alignfs/ctl/commands.h"
#include "alignfs/ctl/terminal_type.h"
#include "alignfs/ctl/wide_text.h"

namespace alignfs::ctl {
namespace {

/// How long the rest of a key's sequence may take to come after its Escape.
constexpr int kEscapeMilliseconds = 50;

/// Names are UTF-8 here wherever they are shown, also where nobody has set a locale.
void use_utf8() {
  if (std::setlocale(LC_CTYPE, "") != nullptr &&
      std::string_view(::nl_langinfo(CODESET)) == "UTF-8") {
    return;
  }
  std::setlocale(LC_CTYPE, "C.UTF-8");
}

attr_t attribute_of(Style style) {
  switch (style) {
    case Style::bold: return A_BOLD;
    case Style::reverse: return A_REVERSE;
    case Style::plain: break;
  }
  return A_NORMAL;
}

int translated(int code) {
  switch (code) {
    case KEY_UP: return kUp;
    case KEY_DOWN: return kDown;
    case KEY_PPAGE: return kPageUp;
    case KEY_NPAGE: return kPageDown;
    case KEY_HOME: return kFirst;
    case KEY_END: return kLast;
    case KEY_ENTER:
    case '\r':
    case '\n': return kEnter;
    case 27: return kEscape;
    case KEY_RESIZE: return kResized;
    default: return code;
  }
}

}  // namespace

Screen::Screen() {
  use_utf8();
  // initscr() would end the process where it does not know the terminal, and newterm() leave
  // memory behind.
  SCREEN* const terminal = can_draw_on_terminal() ? ::newterm(nullptr, stdout, stdin) : nullptr;
  if (terminal == nullptr) {
    const char* const name = std::getenv("TERM");
    throw CommandError(fmt::format("cannot use this terminal: TERM={}", name ? name : ""));
  }
  terminal_ = terminal;
  ::cbreak();
  ::noecho();
  ::nonl();
  ::nodelay(stdscr, TRUE);
  ::keypad(stdscr, TRUE);
  ::set_escdelay(kEscapeMilliseconds);
  ::curs_set(0);
}

Screen::~Screen() {
  ::endwin();
  ::delscreen(static_cast<SCREEN*>(terminal_));
}

std::size_t Screen::rows() const { return std::size_t(std::max(0, getmaxy(stdscr))); }

std::size_t Screen::columns() const { return std::size_t(std::max(0, getmaxx(stdscr))); }

void Screen::show(const std::vector<Line>& lines) {
  ::erase();
  for (std::size_t y = 0; y < std::min(lines.size(), rows()); ++y) {
    std::size_t x = 0;
    for (const auto& piece : lines[y]) {
      const auto room = columns() - std::min(columns(), x);
      const auto text = fitted(piece.text, std::min(room, columns_of(piece.text)), Cut::right);
      if (room == 0 || text.empty()) continue;
      ::attrset(int(attribute_of(piece.style)));
      ::mvaddwstr(int(y), int(x), text.c_str());
      x += columns_of(text);
    }
  }
  ::attrset(A_NORMAL);
  ::refresh();
}

std::optional<int> Screen::key() {
  const int code = ::getch();
  if (code == ERR) return std::nullopt;
  return translated(code);
}

}  // namespace alignfs::ctl
