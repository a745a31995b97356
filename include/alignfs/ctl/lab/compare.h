#pragma once

#include <string>

#include "alignfs/ctl/lab/file.h"
#include "alignfs/ctl/lab/words.h"

namespace alignfs::ctl::lab {

// Experiments on copies of a file, which are gone when they return or throw. CommandError where
// copies or mounts cannot be made. Each gives a table of text, the last line with a newline.

/// The same request by raw O_DIRECT on the backing, and on mounts under reject and under bounce
/// with the alignment options of the mount that the file lies on, if any.
std::string compare(const LabFile& file, const Request& request);

/// A row for each value: what came of it, and the rules that were broken. Opened as `file` is, and
/// on the same mount.
std::string sweep(const LabFile& file, const Sweep& sweep);

}  // namespace alignfs::ctl::lab
