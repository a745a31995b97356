#include "alignfs/fuse/page_limit.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
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

std::size_t read_pages(const UniqueFd& setting) {
  char text[32] = {};
  if (!setting || ::pread(setting.get(), text, sizeof text - 1, 0) <= 0) return kDefaultPages;
  return std::strtoul(text, nullptr, 10);
}

bool write_pages(const UniqueFd& setting, std::size_t pages) {
  const auto text = std::to_string(pages);
  return ::pwrite(setting.get(), text.data(), text.size(), 0) == ssize_t(text.size());
}

UniqueFd open_setting(int flags) { return UniqueFd(::open(kPageLimit, flags | O_CLOEXEC)); }

}  // namespace

std::size_t choose_max_request(std::uint32_t block) {
  auto pages = std::clamp(read_pages(open_setting(O_RDONLY)), kFewestPages, kMostPages);
  // A lower limit is somebody's decision.
  if (pages == kDefaultPages && open_setting(O_WRONLY)) ++pages;
  --pages;
  return align_down(pages * kPageSize, std::max<std::uint64_t>(block, kPageSize));
}

Status check_max_request(std::size_t bytes) {
  if (bytes / kPageSize + 1 <= read_pages(open_setting(O_RDONLY))) return {};
  if (open_setting(O_WRONLY)) return {};
  if (errno == ENOENT) return Error{EOPNOTSUPP, "it takes Linux 6.13"};
  return last_error("fs.fuse.max_pages_limit is lower and cannot be raised");
}

RaisedPageLimit::RaisedPageLimit(std::size_t bytes) : setting_(open_setting(O_RDWR)) {
  if (!setting_) return;
  while (::flock(setting_.get(), LOCK_EX) != 0 && errno == EINTR) {
  }
  const auto pages = bytes / kPageSize + 1;
  const auto allowed = read_pages(setting_);
  if (pages <= allowed) return;
  if (!write_pages(setting_, pages)) {
    status_ = last_error("fs.fuse.max_pages_limit cannot be raised");
    return;
  }
  before_ = allowed;
  raised_ = pages;
}

RaisedPageLimit::~RaisedPageLimit() {
  // Somebody else may have set it meanwhile.
  if (before_ == 0 || read_pages(setting_) != raised_) return;
  if (!write_pages(setting_, before_)) {
    spdlog::warn("fs.fuse.max_pages_limit stays at {}: {}", raised_, std::strerror(errno));
  }
}

}  // namespace alignfs::kernel
