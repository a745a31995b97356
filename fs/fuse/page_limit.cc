#include "alignfs/fuse/page_limit.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "alignfs/base/alignment.h"

namespace alignfs::kernel {
namespace {

constexpr const char* kPageLimit = "/proc/sys/fs/fuse/max_pages_limit";
constexpr std::size_t kDefaultPages = 256;  // the limit's default, and the rule before Linux 6.13
constexpr std::size_t kFewestPages = 32;
constexpr std::size_t kMostPages = 320;  // bounds the buffers where root raised the limit

/// Before Linux 6.13 there is no such setting.
std::size_t allowed_pages(const Result<MachineSetting>& setting) {
  const auto text = setting ? setting->read() : "";
  return text.empty() ? kDefaultPages : std::strtoul(text.c_str(), nullptr, 10);
}

}  // namespace

std::size_t choose_max_request(std::uint32_t block) {
  auto pages = std::clamp(allowed_pages(MachineSetting::open(kPageLimit, O_RDONLY)), kFewestPages,
                          kMostPages);
  // A lower limit is somebody's decision.
  if (pages == kDefaultPages && MachineSetting::open(kPageLimit, O_WRONLY)) ++pages;
  --pages;
  return align_down(pages * kPageSize, std::max<std::uint64_t>(block, kPageSize));
}

Status check_max_request(std::size_t bytes) {
  if (bytes / kPageSize + 1 <= allowed_pages(MachineSetting::open(kPageLimit, O_RDONLY))) return {};
  const auto writable = MachineSetting::open(kPageLimit, O_WRONLY);
  if (writable) return {};
  if (writable.code() == ENOENT) return Error{EOPNOTSUPP, "it takes Linux 6.13"};
  return Error{writable.code(), "fs.fuse.max_pages_limit is lower and cannot be raised"};
}

RaisedPageLimit::RaisedPageLimit(std::size_t bytes)
    : setting_(MachineSetting::open(kPageLimit, O_RDWR)) {
  if (!setting_) return;
  const auto pages = bytes / kPageSize + 1;
  const auto turn = setting_->take_turn();
  const auto allowed = allowed_pages(setting_);
  if (pages <= allowed) return;
  if (!turn) {
    status_ = Error{turn.code(), "fs.fuse.max_pages_limit cannot be locked"};
    return;
  }
  if (const auto written = setting_->write(std::to_string(pages)); !written) {
    status_ = Error{written.code(), "fs.fuse.max_pages_limit cannot be raised"};
    return;
  }
  before_ = allowed;
  raised_ = pages;
}

RaisedPageLimit::~RaisedPageLimit() {
  // Somebody else may have set it meanwhile.
  if (before_ == 0 || allowed_pages(setting_) != raised_) return;
  if (const auto written = setting_->write(std::to_string(before_)); !written) {
    spdlog::warn("fs.fuse.max_pages_limit stays at {}: {}", raised_, std::strerror(written.code()));
  }
}

}  // namespace alignfs::kernel
