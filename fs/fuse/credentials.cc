#include "alignfs/fuse/credentials.h"

#include <linux/capability.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace alignfs {
namespace {

// glibc has no wrappers; the raw calls act on this thread alone, which is what is wanted.
void raise_file_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (::syscall(SYS_capget, &header, data) != 0) return;
  constexpr unsigned kKept = 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH | 1u << CAP_FOWNER |
                             1u << CAP_FSETID | 1u << CAP_MKNOD;
  data[0].effective |= kKept & data[0].permitted;
  if (::syscall(SYS_capset, &header, data) != 0) {
    spdlog::warn("capset: {}", std::strerror(errno));
  }
}

}  // namespace

void give_thread_its_own_umask() {
  if (::unshare(CLONE_FS) != 0) spdlog::warn("unshare(CLONE_FS): {}", std::strerror(errno));
  ::umask(0);
}

CallerCredentials::CallerCredentials(uid_t uid, gid_t gid, mode_t mask)
    : switched_((uid != 0 || gid != 0) && ::geteuid() == 0) {
  ::umask(mask);
  if (!switched_) return;
  ::setfsgid(gid);
  ::setfsuid(uid);
  // Leaving uid 0 takes the file capabilities out of the effective set.
  if (uid != 0) raise_file_capabilities();
}

CallerCredentials::~CallerCredentials() {
  ::umask(0);
  if (!switched_) return;
  ::setfsuid(0);
  ::setfsgid(0);
}

}  // namespace alignfs
