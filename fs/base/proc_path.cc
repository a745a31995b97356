#include "alignfs/base/proc_path.h"

#include <cstdio>

namespace alignfs {

ProcPath::ProcPath(int fd) { std::snprintf(text_, sizeof text_, "/proc/self/fd/%d", fd); }

}  // namespace alignfs
