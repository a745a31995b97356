#pragma once

#include <string>

namespace alignfs::ctl {

/// What `alignctl geometry PATH` prints. CommandError if the path cannot be asked.
std::string geometry_text(const std::string& path);

}  // namespace alignfs::ctl
