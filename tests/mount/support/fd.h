#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <utility>

namespace alignfs::test {

/// Owns a descriptor. The tests keep their own, so that they judge the library from outside.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { close(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  /// 0 or the errno of close().
  int close();

 private:
  int fd_ = -1;
};

/// Opens `path` or throws std::system_error that names it.
Fd open_file(const std::string& path, int flags, mode_t mode = 0644);

/// The whole file as bytes, read plainly. Throws if it cannot be read.
std::string read_file(const std::string& path);

/// Replaces the file by `content` and drops it from the page cache, so that what follows meets the
/// disk: blocks that are cached are written through the cache, not read, modified and written.
/// Throws on failure.
void write_file(const std::string& path, const std::string& content);

/// What pread() gave: its bytes, or "errno N".
std::string try_pread(const Fd& fd, off_t offset, std::size_t length);

/// Gives the file the flags of chattr(1), FS_APPEND_FL among them, and no others. 0, or -1 with
/// errno.
int set_file_flags(const std::string& path, int flags);

/// Size by stat(); throws on failure.
std::int64_t size_of(const std::string& path);

}  // namespace alignfs::test
