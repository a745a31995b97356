#include "alignfs/report/last_errors.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "lru_map.h"

namespace alignfs {
namespace {

/// Newest first, one entry a user.
using Refusals = std::vector<std::pair<uid_t, std::string>>;

}  // namespace

struct LastErrors::Impl {
  explicit Impl(std::size_t files) : files(files) {}

  mutable std::mutex mutex;
  LruMap<FileId, Refusals, FileIdHash> files;
};

LastErrors::LastErrors(std::size_t files) : impl_(std::make_unique<Impl>(files)) {}

LastErrors::~LastErrors() = default;

void LastErrors::remember(const FileId& file, uid_t uid, std::string text) {
  const std::lock_guard lock(impl_->mutex);
  Refusals& refusals = impl_->files.touch(file);
  const auto own = std::find_if(refusals.begin(), refusals.end(),
                                [uid](const auto& refusal) { return refusal.first == uid; });
  if (own != refusals.end()) {
    refusals.erase(own);
  } else if (refusals.size() == kUsersPerFile) {
    refusals.pop_back();
  }
  refusals.emplace(refusals.begin(), uid, std::move(text));
}

void LastErrors::forget(const FileId& file) {
  const std::lock_guard lock(impl_->mutex);
  impl_->files.erase(file);
}

std::optional<std::string> LastErrors::find(const FileId& file, uid_t uid, bool sees_all) const {
  const std::lock_guard lock(impl_->mutex);
  const Refusals* refusals = impl_->files.find(file);
  if (refusals == nullptr) return std::nullopt;
  for (const auto& [owner, text] : *refusals) {
    if (sees_all || owner == uid) return text;
  }
  return std::nullopt;
}

}  // namespace alignfs
