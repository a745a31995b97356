#pragma once

#include <sys/types.h>

namespace alignfs {

/// Prepares this thread for CallerCredentials: its umask becomes its own. Call it once a thread.
void give_thread_its_own_umask();

/// While it lives, files made by this thread belong to the caller and get its umask: filesystem uid
/// and gid are the caller's. Capabilities that the kernel has checked already on the caller's
/// behalf (supplementary groups, which the daemon does not know, count there) stay in force.
/// Without root's privileges only the umask changes: everything belongs to the mount's owner
/// anyway.
class CallerCredentials {
 public:
  CallerCredentials(uid_t uid, gid_t gid, mode_t umask);
  ~CallerCredentials();
  CallerCredentials(const CallerCredentials&) = delete;
  CallerCredentials& operator=(const CallerCredentials&) = delete;

 private:
  bool switched_;
};

}  // namespace alignfs
