#pragma once

#include <string>

#include "mount/support/scratch.h"

namespace alignfs::test {

/// An overlay filesystem with its layers in directories that it makes in one given. Needs root.
class Overlay {
 public:
  /// Throws std::system_error if it cannot be mounted.
  explicit Overlay(const std::string& layers);
  ~Overlay();
  Overlay(const Overlay&) = delete;
  Overlay& operator=(const Overlay&) = delete;

  const std::string& path() const { return directory_.path(); }
  std::string operator/(const std::string& name) const { return directory_ / name; }
  /// `name` in the lower layer.
  std::string lower(const std::string& name) const { return layers_ + "/lower/" + name; }

 private:
  std::string layers_;
  TempDir directory_;
};

}  // namespace alignfs::test
