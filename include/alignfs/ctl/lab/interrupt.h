#pragma once

namespace alignfs::ctl::lab {

/// Signals as flags, so that whatever is mounted and copied is taken down in order. Process-wide.

/// From here on SIGINT, SIGTERM, SIGHUP and SIGQUIT end nothing by themselves; the last three do
/// when they come again.
void take_interrupts();
/// Ctrl-C, or an end, was asked for since the last call of forget_interrupt().
bool interrupted();
/// Forgets a Ctrl-C; an end stays asked for.
void forget_interrupt();
/// Can be read while interrupted() is true: to wait for that and for something else at once.
int interrupt_fd();
/// One of the others came.
bool asked_to_end();

}  // namespace alignfs::ctl::lab
