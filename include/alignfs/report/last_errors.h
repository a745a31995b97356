#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "alignfs/report/event.h"

namespace alignfs {

/// The newest refusal of each file, for each user, as text. Bounded: at most `files` files, of
/// which the one refused longest ago is forgotten first, and kUsersPerFile users a file.
/// Thread-safe.
class LastErrors {
 public:
  static constexpr std::size_t kUsersPerFile = 8;

  explicit LastErrors(std::size_t files = 1024);
  ~LastErrors();
  LastErrors(const LastErrors&) = delete;
  LastErrors& operator=(const LastErrors&) = delete;

  void remember(const FileId& file, uid_t uid, std::string text);

  /// The file is another one, which has been given its inode number.
  void forget(const FileId& file);

  /// What `uid` may see: its own newest refusal on `file`, or anybody's where `sees_all`.
  std::optional<std::string> find(const FileId& file, uid_t uid, bool sees_all) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace alignfs
