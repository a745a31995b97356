#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "alignfs/base/unique_fd.h"
#include "alignfs/fuse/crew.h"
#include "alignfs/fuse/filesystem.h"

namespace alignfs {

/// One mount: from mount(2) to the last answer. Used by one thread; the workers are its own.
class Session {
 public:
  explicit Session(Filesystem& filesystem) : filesystem_(filesystem) {}
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Mounts at `mountpoint`, negotiates features with the kernel, starts the workers and waits
  /// until the mount answers. Returns one line for a person if that fails; nothing is left mounted
  /// then.
  std::string start(const std::string& mountpoint);

  /// After start() has failed: it may be tried anew with Filesystem::Queues::none.
  bool may_do_without_queues() const { return may_do_without_queues_; }

  /// Serves until the mount is gone or SIGINT, SIGTERM or SIGHUP comes; then finishes the requests
  /// in hand and unmounts. Those signals must be blocked in every thread.
  void run();

 private:
  std::string mount(const std::string& mountpoint);
  bool negotiate();
  /// Starts the workers. One line for a person if there are none to be had.
  std::string start_crew();
  Duties duties();
  std::unique_ptr<Crew> make_queue_crew();
  std::unique_ptr<Crew> make_crew();
  /// One message from the kernel.
  void process(std::span<std::byte> message);
  /// The mount is gone: ends run(). Called by any thread.
  void gone();

  Filesystem& filesystem_;
  bool mounted_ = false;
  bool may_do_without_queues_ = false;
  std::unique_ptr<Crew> crew_;
  /// Written to when the mount is found gone.
  UniqueFd gone_;
  /// SIGINT, SIGTERM and SIGHUP, as a descriptor.
  UniqueFd ended_by_;
};

}  // namespace alignfs
