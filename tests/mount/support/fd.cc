#include "mount/support/fd.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>
#include <system_error>

namespace alignfs::test {

namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

int Fd::close() {
  const int fd = std::exchange(fd_, -1);
  if (fd < 0) return 0;
  return ::close(fd) == 0 ? 0 : errno;
}

Fd open_file(const std::string& path, int flags, mode_t mode) {
  Fd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd) fail("open " + path);
  return fd;
}

std::string read_file(const std::string& path) {
  Fd fd = open_file(path, O_RDONLY);
  std::string content;
  char chunk[65536];
  while (true) {
    const ssize_t got = ::read(fd.get(), chunk, sizeof chunk);
    if (got < 0) fail("read " + path);
    if (got == 0) return content;
    content.append(chunk, static_cast<std::size_t>(got));
  }
}

void write_file(const std::string& path, const std::string& content) {
  Fd fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
  for (std::size_t done = 0; done < content.size();) {
    const ssize_t put = ::write(fd.get(), content.data() + done, content.size() - done);
    if (put < 0) fail("write " + path);
    done += static_cast<std::size_t>(put);
  }
  if (fsync(fd.get()) != 0) fail("fsync " + path);
  posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  if (fd.close() != 0) fail("close " + path);
}

std::string try_pread(const Fd& fd, off_t offset, std::size_t length) {
  std::string bytes(length, '\0');
  const ssize_t got = ::pread(fd.get(), bytes.data(), length, offset);
  if (got < 0) return "errno " + std::to_string(errno);
  bytes.resize(static_cast<std::size_t>(got));
  return bytes;
}

int set_file_flags(const std::string& path, int flags) {
  const Fd fd = open_file(path, O_RDONLY);
  return ioctl(fd.get(), FS_IOC_SETFLAGS, &flags);
}

std::int64_t size_of(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) fail("stat " + path);
  return status.st_size;
}

}  // namespace alignfs::test
