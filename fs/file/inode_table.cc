#include "alignfs/file/inode_table.h"

#include <fcntl.h>

#include <cstdio>
#include <cstring>

namespace alignfs {
namespace {

// struct file_handle with room for the largest handle.
union HandleBuffer {
  file_handle handle;
  char bytes[sizeof(file_handle) + MAX_HANDLE_SZ];
};

}  // namespace

UniqueFd PathFd::take() {
  if (owned_) return std::move(owned_);
  return UniqueFd(::fcntl(fd_, F_DUPFD_CLOEXEC, 0));
}

Result<std::unique_ptr<InodeTable>> InodeTable::create(UniqueFd source, std::size_t directory_fds) {
  std::unique_ptr<InodeTable> table(new InodeTable(std::move(source), directory_fds));
  const int fd = table->source_.get();

  struct stat attributes {};
  if (::fstat(fd, &attributes) != 0) return last_error("stat SOURCE");
  table->root_ = std::make_unique<Inode>();
  table->root_->id_ = {attributes.st_dev, attributes.st_ino};
  table->root_->type_ = S_IFDIR;
  table->root_->path_fd_.reset(::openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!table->root_->path_fd_) return last_error("open SOURCE");

  HandleBuffer buffer{};
  buffer.handle.handle_bytes = MAX_HANDLE_SZ;
  if (::name_to_handle_at(fd, "", &buffer.handle, &table->mount_id_, AT_EMPTY_PATH) == 0) {
    const UniqueFd tried(::open_by_handle_at(fd, &buffer.handle, O_PATH | O_CLOEXEC));
    table->use_handles_ = bool(tried);
  }
  return table;
}

InodeTable::~InodeTable() = default;

std::string InodeTable::handle_of(int fd, bool* reachable) const {
  HandleBuffer buffer{};
  buffer.handle.handle_bytes = MAX_HANDLE_SZ;
  int mount_id = -1;
  *reachable = false;
  if (!use_handles_ || ::name_to_handle_at(fd, "", &buffer.handle, &mount_id, AT_EMPTY_PATH) != 0) {
    return {};
  }
  *reachable = mount_id == mount_id_;
  return {buffer.bytes, sizeof(file_handle) + buffer.handle.handle_bytes};
}

Result<UniqueFd> InodeTable::open_handle(const std::string& handle) const {
  HandleBuffer buffer{};
  std::memcpy(buffer.bytes, handle.data(), handle.size());
  UniqueFd fd(::open_by_handle_at(source_.get(), &buffer.handle, O_PATH | O_CLOEXEC));
  if (!fd) return last_error("open_by_handle_at");
  return fd;
}

Result<Inode*> InodeTable::look_up(const Inode& directory, const char* name,
                                   struct stat* attributes) {
  if (std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0 ||
      std::strchr(name, '/') != nullptr) {
    return Error{EINVAL, "look up a name"};
  }
  const auto parent = path_of(directory);
  if (!parent) return parent.error();
  UniqueFd fd(::openat(parent->get(), name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return last_error("look up a name");
  const int number = fd.get();
  return insert(number, std::move(fd), attributes);
}

Result<Inode*> InodeTable::adopt(int fd, struct stat* attributes) {
  return insert(fd, {}, attributes);
}

Result<Inode*> InodeTable::insert(int fd, UniqueFd path_fd, struct stat* attributes) {
  if (::fstat(fd, attributes) != 0) return last_error("stat");
  const FileId id{attributes->st_dev, attributes->st_ino};
  if (id == root_->id_) return root_.get();
  bool reachable = false;
  auto handle = handle_of(fd, &reachable);
  if (!path_fd && !reachable) {
    path_fd.reset(::open(ProcPath(fd).c_str(), O_PATH | O_CLOEXEC));
    if (!path_fd) return last_error("open a new file by descriptor");
  }

  const std::lock_guard guard(mutex_);
  auto& slot = inodes_[id];
  // Without a descriptor to pin it the number may have gone to a new file meanwhile; the handle
  // carries the generation that tells the two apart.
  if (slot && !slot->path_fd_ && slot->handle_ != handle) {
    const Inode* old = slot.get();
    replaced_.emplace(old, std::move(slot));
  }
  if (!slot) {
    slot = std::make_unique<Inode>();
    slot->id_ = id;
    slot->type_ = attributes->st_mode & S_IFMT;
    const bool directory = S_ISDIR(attributes->st_mode);
    if (!reachable || (directory && directory_fds_ < max_directory_fds_)) {
      slot->path_fd_ = std::move(path_fd);
      directory_fds_ += directory;
    } else {
      slot->handle_ = std::move(handle);
    }
  }
  ++slot->lookups_;
  return slot.get();
}

void InodeTable::count_lookup(Inode& inode) {
  const std::lock_guard guard(mutex_);
  ++inode.lookups_;
}

void InodeTable::forget(Inode& inode, std::uint64_t count) {
  std::unique_ptr<Inode> gone;
  const std::lock_guard guard(mutex_);
  if (&inode == root_.get()) return;
  inode.lookups_ -= std::min(count, inode.lookups_);
  if (inode.lookups_ != 0) return;
  directory_fds_ -= inode.path_fd_ && S_ISDIR(inode.type_);
  if (const auto found = inodes_.find(inode.id_);
      found != inodes_.end() && found->second.get() == &inode) {
    gone = std::move(found->second);
    inodes_.erase(found);
  } else if (const auto old = replaced_.find(&inode); old != replaced_.end()) {
    gone = std::move(old->second);
    replaced_.erase(old);
  }
}

Result<PathFd> InodeTable::path_of(const Inode& inode) const {
  if (inode.path_fd_) return PathFd(inode.path_fd_.get());
  {
    const std::lock_guard guard(mutex_);
    if (auto open = inode.open_.lock()) return PathFd(std::move(open));
  }
  auto fd = open_handle(inode.handle_);
  if (!fd) return fd.error();
  return PathFd(*std::move(fd));
}

Result<std::shared_ptr<OpenInode>> InodeTable::open_state(Inode& inode) {
  {
    const std::lock_guard guard(mutex_);
    if (auto open = inode.open_.lock()) return open;
  }
  auto path = path_of(inode);
  if (!path) return path.error();
  UniqueFd anchor = path->take();
  if (!anchor) return last_error("duplicate a descriptor");
  auto made = std::make_shared<OpenInode>(std::move(anchor));

  const std::lock_guard guard(mutex_);
  if (auto open = inode.open_.lock()) return open;
  inode.open_ = made;
  return made;
}

std::shared_ptr<OpenInode> InodeTable::find_open(const Inode& inode) const {
  const std::lock_guard guard(mutex_);
  return inode.open_.lock();
}

Result<UniqueFd> InodeTable::reopen(const Inode& inode, int flags) const {
  const auto path = path_of(inode);
  if (!path) return path.error();
  UniqueFd fd(::open(ProcPath(path->get()).c_str(), flags | O_CLOEXEC));
  if (!fd) return last_error("open the backing file");
  return fd;
}

std::size_t InodeTable::size() const {
  const std::lock_guard guard(mutex_);
  return inodes_.size() + replaced_.size() + 1;
}

}  // namespace alignfs
