#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "alignfs/base/proc_path.h"
#include "alignfs/base/result.h"
#include "alignfs/base/unique_fd.h"
#include "alignfs/file/mapped_inode.h"
#include "alignfs/file/observer.h"
#include "alignfs/io/range_lock.h"

namespace alignfs {

/// What all open handles of one inode share; lives while at least one of them is open, or while a
/// request changes the file's size. Thread-safe.
struct OpenInode {
  explicit OpenInode(UniqueFd path_fd) : anchor(std::move(path_fd)) {}

  /// O_PATH descriptor: reaches the inode even after its last name is gone.
  const UniqueFd anchor;
  /// Held by writers as WritePlan asks, whole and exclusive by whatever changes the size.
  RangeLock lock;
  /// For mapped mode.
  MappedInode mapped;
  /// For direct mode: a page of the file came into the page cache while a block of it was written.
  /// Somebody uses both at once, so nobody writes bytes that are not his own any more.
  std::atomic<bool> stored_to_while_written{false};
  /// What the floor above keeps with the open inode; given back with it. Guarded by
  /// attachment_mutex.
  std::shared_ptr<void> attachment;
  std::mutex attachment_mutex;
};

/// A descriptor that names an inode in calls with AT_EMPTY_PATH or through /proc/self/fd. Either
/// borrowed from something it keeps alive, or its own.
class PathFd {
 public:
  explicit PathFd(int borrowed) : fd_(borrowed) {}
  explicit PathFd(std::shared_ptr<OpenInode> keeper)
      : fd_(keeper->anchor.get()), keeper_(std::move(keeper)) {}
  explicit PathFd(UniqueFd owned) : fd_(owned.get()), owned_(std::move(owned)) {}
  int get() const { return fd_; }
  /// Its own descriptor, or a copy of the borrowed one; empty with errno if there can be none.
  UniqueFd take();

 private:
  int fd_;
  UniqueFd owned_;
  std::shared_ptr<OpenInode> keeper_;
};

/// An inode that the kernel knows. Its address is the node number of the FUSE protocol. Created by
/// InodeTable and valid until the kernel has forgotten every lookup of it; during a request the
/// kernel does not forget the inodes that the request names.
class Inode {
 public:
  FileId id() const { return id_; }
  /// S_IFMT bits.
  mode_t type() const { return type_; }

 private:
  friend class InodeTable;
  FileId id_;
  mode_t type_ = 0;
  std::uint64_t lookups_ = 0;
  UniqueFd path_fd_;
  /// struct file_handle's type and bytes; empty where path_fd_ pins the inode.
  std::string handle_;
  std::weak_ptr<OpenInode> open_;
};

/// All inodes the kernel knows, by backing device and inode number, so that hard links are one.
///
/// Where the daemon may (CAP_DAC_READ_SEARCH) and the backing can, an inode is kept as a file
/// handle (name_to_handle_at) and costs no descriptor; the first directories, and every inode
/// elsewhere, hold an O_PATH descriptor. Thread-safe.
class InodeTable {
 public:
  /// `source` is SOURCE opened for reading; the table owns it. At most `directory_fds` directories
  /// keep a descriptor where handles are to be had.
  static Result<std::unique_ptr<InodeTable>> create(UniqueFd source, std::size_t directory_fds);
  ~InodeTable();

  Inode& root() { return *root_; }

  /// Finds `name` in `directory` and counts one lookup of it. `name` is one component; "." and ".."
  /// are refused, symbolic links are not followed: nothing outside SOURCE is reached. `*attributes`
  /// is filled on success.
  Result<Inode*> look_up(const Inode& directory, const char* name, struct stat* attributes);

  /// Counts one lookup of the inode open at `fd` (any kind of descriptor, not consumed; the inode
  /// is no directory).
  Result<Inode*> adopt(int fd, struct stat* attributes);

  /// Counts one lookup of an inode that the kernel knows.
  void count_lookup(Inode& inode);

  /// Takes back `count` lookups; the inode is gone when none is left.
  void forget(Inode& inode, std::uint64_t count);

  /// A descriptor that stands for `inode`. ESTALE if it no longer exists in the backing.
  Result<PathFd> path_of(const Inode& inode) const;

  /// What the open handles of `inode` share, made if there is none.
  Result<std::shared_ptr<OpenInode>> open_state(Inode& inode);

  /// The same if a handle is open, else null.
  std::shared_ptr<OpenInode> find_open(const Inode& inode) const;

  /// Opens `inode` anew through /proc/self/fd. `flags` must not hold O_CREAT or O_NOFOLLOW.
  Result<UniqueFd> reopen(const Inode& inode, int flags) const;

  std::size_t size() const;

 private:
  struct Key {
    std::size_t operator()(const FileId& id) const {
      return std::hash<std::uint64_t>()(id.inode * 0x9e3779b97f4a7c15u ^ id.device);
    }
  };

  InodeTable(UniqueFd source, std::size_t directory_fds)
      : source_(std::move(source)), max_directory_fds_(directory_fds) {}
  Result<Inode*> insert(int fd, UniqueFd path_fd, struct stat* attributes);
  /// The handle of the inode at `fd`: the same through every mount of its filesystem. Empty where
  /// there are none. `*reachable` tells whether open_handle() can open it.
  std::string handle_of(int fd, bool* reachable) const;
  Result<UniqueFd> open_handle(const std::string& handle) const;

  UniqueFd source_;
  const std::size_t max_directory_fds_;
  int mount_id_ = -1;
  bool use_handles_ = false;
  std::unique_ptr<Inode> root_;
  mutable std::mutex mutex_;
  std::unordered_map<FileId, std::unique_ptr<Inode>, Key> inodes_;
  /// Inodes whose number the backing gave to a new file: kept until the kernel forgets them.
  std::unordered_map<const Inode*, std::unique_ptr<Inode>> replaced_;
  std::size_t directory_fds_ = 0;
};

}  // namespace alignfs
