#pragma once

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif
#include <fuse_lowlevel.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>

namespace alignfs {

struct Filesystem;

/// The .alignfs directory in the mount's root: events, stats, options and activity. Hidden from
/// listings, owned by the mount's owner, read-only. Its node numbers are below kEnd, where no
/// inode's address can be. Thread-safe.
class Control {
 public:
  static constexpr const char* kName = ".alignfs";
  enum Node : fuse_ino_t { kDirectory = 2, kEvents, kStats, kOptions, kActivity, kEnd };

  explicit Control(Filesystem& filesystem);
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  static bool is_control(fuse_ino_t node) { return node >= kDirectory && node < kEnd; }
  /// True if `name` in `parent` is the control directory and nothing else may be there.
  bool reserves(fuse_ino_t parent, const char* name) const;

  // Requests on control nodes. Each answers `request`.
  void look_up(fuse_req_t request, fuse_ino_t parent, const char* name);
  void get_attributes(fuse_req_t request, fuse_ino_t node);
  void open(fuse_req_t request, fuse_ino_t node, fuse_file_info* info);
  void read(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t offset,
            fuse_file_info* info);
  void poll(fuse_req_t request, fuse_ino_t node, fuse_file_info* info, fuse_pollhandle* handle);
  void release(fuse_req_t request, fuse_file_info* info);
  void open_directory(fuse_req_t request, fuse_file_info* info);
  /// `plus` for READDIRPLUS; the entries are then marked as not looked up.
  void read_directory(fuse_req_t request, std::size_t size, off_t offset, bool plus);

  /// True while somebody who polls the events has them open.
  bool is_polled();

  /// Wakes everybody who waits for events; called after each publication.
  void events_published();
  /// Answers everybody who still waits with ENODEV. The mount is about to end.
  void shut_down();

 private:
  struct Handle;
  /// A reader of events who found none and did not ask for O_NONBLOCK.
  struct Waiter {
    Handle* handle;
    std::size_t size;
  };

  struct stat attributes_of(fuse_ino_t node) const;
  std::string options_text() const;
  std::string stats_text() const;
  /// The next lines for `handle`; empty where there are none yet.
  std::string take_events(Handle& handle, std::size_t size);
  std::size_t most_waiters() const;
  void wait_for_events(fuse_req_t request, Handle& handle, std::size_t size);
  static void interrupted(fuse_req_t request, void* control);

  Filesystem& filesystem_;
  std::mutex mutex_;
  std::unordered_set<std::unique_ptr<Handle>> handles_;
  std::unordered_map<fuse_req_t, Waiter> waiters_;
  bool closing_ = false;
};

}  // namespace alignfs
