#include "alignfs/fuse/mount_checks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

namespace alignfs {
namespace {

constexpr const char* kFuseDevice = "/dev/fuse";

/// The real path of the directory `path`, or a complaint that names it as `role`.
std::string resolve_directory(const char* role, const std::string& path, std::string& complaint) {
  struct Free {
    void operator()(char* text) const { ::free(text); }
  };
  const std::unique_ptr<char, Free> real(::realpath(path.c_str(), nullptr));
  if (!real && errno == ENOTCONN) {
    complaint = fmt::format(
        "{} {} is the remains of a FUSE mount whose daemon is gone: unmount it "
        "with 'fusermount3 -u {}' or 'umount {}'",
        role, path, path, path);
    return {};
  }
  struct stat attributes {};
  if (!real || ::stat(real.get(), &attributes) != 0) {
    complaint = fmt::format("{} {}: {}", role, path, std::strerror(errno));
    return {};
  }
  if (!S_ISDIR(attributes.st_mode)) {
    complaint = fmt::format("{} {} is not a directory", role, path);
    return {};
  }
  return real.get();
}

bool contains(const std::string& outer, const std::string& inner) {
  return outer == "/" || inner == outer || (inner.starts_with(outer) && inner[outer.size()] == '/');
}

bool is_mount_root(const std::string& path) {
  struct statx answer {};
  return ::statx(AT_FDCWD, path.c_str(), 0, 0, &answer) == 0 &&
         (answer.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

bool in_search_path(std::string_view program) {
  const char* variable = ::getenv("PATH");
  std::string_view rest = variable != nullptr ? variable : "/usr/bin:/bin";
  while (true) {
    const auto colon = rest.find(':');
    const auto candidate = fmt::format("{}/{}", rest.substr(0, colon), program);
    if (::access(candidate.c_str(), X_OK) == 0) return true;
    if (colon == rest.npos) return false;
    rest.remove_prefix(colon + 1);
  }
}

std::string check_fuse() {
  const int fd = ::open(kFuseDevice, O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    const char* hint = errno == EACCES ? " (it must be readable and writable for you)"
                                       : " (is the fuse module loaded?)";
    return fmt::format("cannot open {}: {}{}", kFuseDevice, std::strerror(errno), hint);
  }
  ::close(fd);
  if (::geteuid() != 0 && !in_search_path("fusermount3")) {
    return "fusermount3 is not installed, and only root can mount without it (package fuse3)";
  }
  return {};
}

}  // namespace

MountPaths check_mount(const std::string& source, const std::string& mountpoint) {
  MountPaths paths;
  paths.source = resolve_directory("SOURCE", source, paths.complaint);
  if (!paths.complaint.empty()) return paths;
  paths.mountpoint = resolve_directory("MOUNTPOINT", mountpoint, paths.complaint);
  if (!paths.complaint.empty()) return paths;

  if (paths.source == paths.mountpoint) {
    paths.complaint = fmt::format("SOURCE and MOUNTPOINT are both {}", paths.source);
  } else if (contains(paths.source, paths.mountpoint)) {
    paths.complaint =
        fmt::format("MOUNTPOINT {} is inside SOURCE {}: the mount would contain itself",
                    paths.mountpoint, paths.source);
  } else if (contains(paths.mountpoint, paths.source)) {
    paths.complaint = fmt::format("SOURCE {} is inside MOUNTPOINT {}: the mount would hide it",
                                  paths.source, paths.mountpoint);
  } else if (is_mount_root(paths.mountpoint)) {
    paths.complaint =
        fmt::format("MOUNTPOINT {} is busy: something is mounted there already", paths.mountpoint);
  } else {
    paths.complaint = check_fuse();
  }
  return paths;
}

}  // namespace alignfs
