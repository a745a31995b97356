#pragma once

#include <string>

namespace alignfs::ctl::lab {

/// A directory beside a file, for copies of it on the same filesystem. It goes with all that is in
/// it when the object does.
class Scratch {
 public:
  /// In the directory of `file`. CommandError where it cannot be made.
  explicit Scratch(const std::string& file);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::string& path() const { return path_; }
  /// A new directory in it.
  std::string directory(const std::string& name) const;

 private:
  std::string path_;
};

/// Copies a file with its holes, by sharing its blocks where the filesystem can. CommandError
/// where it holds more than 1 GiB, or the disk is full.
void copy_file(const std::string& from, const std::string& to);

}  // namespace alignfs::ctl::lab
