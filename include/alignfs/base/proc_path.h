#pragma once

namespace alignfs {

/// "/proc/self/fd/N": a path that stands for a descriptor.
class ProcPath {
 public:
  explicit ProcPath(int fd);
  const char* c_str() const { return text_; }

 private:
  char text_[32];
};

}  // namespace alignfs
