#pragma once

#include "alignfs/align/diagnosis.h"
#include "alignfs/align/geometry.h"
#include "alignfs/base/result.h"

namespace alignfs {

/// Asks what direct I/O on the open file `fd` needs, and sets O_DIRECT on it where the backing
/// takes it. The flag is set by fcntl rather than at open, so that "no direct I/O here" is never
/// taken for another failure of open.
///
/// native: statx states the alignment. unproven: O_DIRECT is taken but nothing vouches for it.
/// refused: O_DIRECT is not taken and `fd` stays as it was. Fails only where statx does.
Result<BackingGeometry> enable_direct_io(int fd);

/// True if O_DIRECT can be set on the open file `fd`, which nobody else may use yet. It stays as it
/// was.
bool accepts_direct_io(int fd);

/// What the running kernel asks of the segments of a vector. Tried on an unnamed file in the
/// directory `dirfd` where that can tell the rules apart (native, block coarser than memory);
/// otherwise by version: Linux 6.18 relaxed the rule.
VectorRule probe_vector_rule(int dirfd);

/// The geometry of an unnamed file made in the directory `dirfd`: what files of a mount of that
/// directory will get. Fails where no such file can be made (read-only, no O_TMPFILE).
Result<BackingGeometry> probe_directory(int dirfd);

}  // namespace alignfs
