#include "alignfs/ctl/terminal_type.h"

#include <curses.h>
#include <term.h>
#include <unistd.h>

namespace alignfs::ctl {

bool can_draw_on_terminal() {
  int problem = 0;
  if (::setupterm(nullptr, STDOUT_FILENO, &problem) != OK) return false;
  // tigetstr(3) tells "none" and "no such name" apart, by a pointer to nothing.
  const char* const move = ::tigetstr("cup");
  const bool can_move = move != nullptr && move != reinterpret_cast<const char*>(-1);
  ::del_curterm(cur_term);
  return can_move;
}

}  // namespace alignfs::ctl
