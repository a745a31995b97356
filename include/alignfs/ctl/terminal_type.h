#pragma once

namespace alignfs::ctl {

/// The terminal that $TERM names is one that is known, and on which the cursor can be moved.
bool can_draw_on_terminal();

}  // namespace alignfs::ctl
