#pragma once

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif
#include <fuse_lowlevel.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "alignfs/base/counters.h"
#include "alignfs/base/options.h"
#include "alignfs/file/direct_file.h"
#include "alignfs/file/file.h"
#include "alignfs/file/inode_table.h"
#include "alignfs/fuse/control.h"
#include "alignfs/fuse/kernel_features.h"
#include "alignfs/fuse/processors.h"
#include "alignfs/io/buffer_pool.h"
#include "alignfs/io/mapping.h"
#include "alignfs/report/reporter.h"

namespace alignfs {

/// What a mount's request handlers work on. Made before the mount, torn down after it; one thread
/// makes it, all workers use it.
struct Filesystem {
  /// Whether requests come by io_uring as MountOptions::fuse_uring has it, or not at all.
  enum class Queues { as_asked, none };

  /// `source` is the absolute path of SOURCE. Logs what it finds out about the backing. Fails with
  /// one line for a person if the options cannot be had on this backing.
  static std::unique_ptr<Filesystem> create(const MountOptions& options, const std::string& source,
                                            std::string& complaint, Queues queues);

  explicit Filesystem(const MountOptions& mount_options, std::string source_path,
                      unsigned worker_count, std::size_t max_request, std::size_t max_read);

  const MountOptions options;
  const std::string source;
  const unsigned workers;
  /// Calls to the backing that there are buffers for.
  unsigned max_calls() const;
  /// Requests are served by a RingCrew or a QueueCrew.
  bool uses_io_uring = false;
  /// Those that have a queue of FUSE over io_uring, and the requests that each holds; 0 where that
  /// is not wanted or not to be had.
  kernel::Processors processors;
  unsigned queue_entries = 0;
  /// Does without them because of `reason`, and says so in the log. One line for a person instead
  /// where MountOptions::fuse_uring asks for them. Not after INIT has accepted FUSE over io_uring.
  std::string go_without_queues(const std::string& reason);

  Counters counters;
  Reporter reporter;
  /// Requests as they come from the kernel; bounce buffers for the backing, of two sizes; copies in
  /// progress. Who holds a lock waits for none of them, and nobody who holds one waits for another
  /// of the same: so the pools may be small and still not deadlock. All together stay below 8 MiB a
  /// worker.
  BufferPool receive_buffers;
  BufferPool bounce_buffers;
  BufferPool small_bounce_buffers;
  BufferPool copy_buffers;
  const FileServices services;
  DirectMode direct;
  Mapper mapper;
  /// Geometry of new files in SOURCE; nothing if none could be made there (read-only).
  std::optional<Geometry> source_geometry;
  std::unique_ptr<InodeTable> inodes;
  /// is_local_disk_filesystem(SOURCE).
  bool local_disk = false;
  /// is_local_filesystem(SOURCE).
  bool local = false;
  kernel::Features features;
  fuse_session* session = nullptr;
  Control control;

  /// To be called when features are negotiated: finds out whether the kernel takes backing files of
  /// SOURCE, and logs it if -o passthrough cannot be had.
  void settle_passthrough();

  /// How a program opens a file: its O_* flags, and who it is.
  struct Opening {
    int flags = 0;
    Requester requester;
  };
  /// Makes a handle, of the kind that the mount's mode asks for, of the backing file open at `fd`.
  Result<std::unique_ptr<File>> open_file(Inode& inode, std::shared_ptr<OpenInode> shared,
                                          UniqueFd fd, const Opening& opening);

  /// Open handles. The kernel holds bare pointers to them; this owns them.
  std::mutex files_mutex;
  std::unordered_set<File*> files;
  std::unordered_map<const void*, std::shared_ptr<void>> directories;
  /// Closes the handles that are open when the mount ends. The workers must be gone.
  void close_files();
  ~Filesystem();
};

}  // namespace alignfs
