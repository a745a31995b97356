#pragma once

#include <optional>
#include <string>
#include <vector>

namespace alignfs::ctl {

enum class Style { plain, bold, reverse };

struct Piece {
  std::wstring text;
  Style style = Style::plain;
};
using Line = std::vector<Piece>;

/// What Screen::key() gives for keys that are no character.
enum Key : int {
  kUp = 0x110000,
  kDown,
  kPageUp,
  kPageDown,
  kFirst,
  kLast,
  kEnter,
  kEscape,
  kResized,  ///< no key: the window has another size
};

/// The terminal in full, until its end. One a process. Signals that nobody handles when it is made
/// are handled by ncurses.
class Screen {
 public:
  /// CommandError where the terminal cannot do it. Sets the locale's characters to UTF-8.
  Screen();
  /// Gives the terminal back as it was.
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  std::size_t rows() const;
  std::size_t columns() const;

  /// Shows `lines` from the top on, cut to the size, and nothing else.
  void show(const std::vector<Line>& lines);

  /// The next character or Key that was typed, without waiting.
  std::optional<int> key();

 private:
  void* terminal_ = nullptr;
};

}  // namespace alignfs::ctl
