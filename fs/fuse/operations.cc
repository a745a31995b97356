#include "alignfs/fuse/operations.h"

#include <algorithm>

namespace alignfs {
namespace {

void init(void* userdata, fuse_conn_info* connection) {
  auto& filesystem = *static_cast<Filesystem*>(userdata);
  auto& features = filesystem.features;
  // A strict mount judges the program's own call while it waits in the kernel. Asynchronous direct
  // I/O would let io_submit return before the daemon has looked.
  const bool strict = filesystem.options.is_strict();
  unsigned want = FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_DONT_MASK |
                  FUSE_CAP_POSIX_ACL | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
                  FUSE_CAP_AUTO_INVAL_DATA;
  if (!strict) want |= FUSE_CAP_ASYNC_DIO;
  // Not wanted: ATOMIC_O_TRUNC (the kernel's SETATTR passes by the lock), HANDLE_KILLPRIV (the
  // kernel clears setuid bits on truncate and chown), WRITEBACK_CACHE (it hides the sizes of
  // writes).
  connection->want = want & connection->capable;
  connection->max_write = unsigned(features.max_request);
  connection->max_read = unsigned(features.max_read);
  // In the background by default only 12: too few for a queue of direct requests.
  connection->max_background = 64;
  connection->congestion_threshold = 48;
  kernel::request_features(features, ::geteuid() == 0, filesystem.queue_entries != 0);
}

}  // namespace

fuse_lowlevel_ops make_operations() {
  fuse_lowlevel_ops table{};
  table.init = init;
  add_metadata_operations(table);
  add_name_operations(table);
  add_directory_operations(table);
  add_open_operations(table);
  add_data_operations(table);
  add_xattr_operations(table);
  return table;
}

Requester requester_of(fuse_req_t request) {
  const auto* context = fuse_req_ctx(request);
  return {context->pid, context->uid, context->gid};
}

fuse_entry_param entry_of(const Filesystem& filesystem, Inode& inode,
                          const struct stat& attributes) {
  fuse_entry_param entry{};
  const bool root = &inode == &filesystem.inodes->root();
  entry.ino = root ? fuse_ino_t{FUSE_ROOT_ID} : reinterpret_cast<fuse_ino_t>(&inode);
  entry.attr = attributes;
  entry.attr_timeout = filesystem.options.attr_timeout;
  entry.entry_timeout = filesystem.options.entry_timeout;
  return entry;
}

void Reply::count(Outcome outcome, std::uint64_t bytes) {
  filesystem_.counters.add(operation_, outcome, {.requests = 1, .bytes = bytes});
  filesystem_.counters.took(operation_, std::chrono::steady_clock::now() - begun_);
}

void Reply::error(int code) {
  count(code == 0 ? Outcome::ok : Outcome::error);
  fuse_reply_err(request_, code);
}

void Reply::entry(Inode& inode, const struct stat& attributes) {
  count(Outcome::ok);
  const auto entry = entry_of(filesystem_, inode, attributes);
  if (fuse_reply_entry(request_, &entry) != 0) filesystem_.inodes->forget(inode, 1);
}

void Reply::attributes(const struct stat& attributes) {
  count(Outcome::ok);
  fuse_reply_attr(request_, &attributes, filesystem_.options.attr_timeout);
}

void Reply::data(const void* data, std::size_t size) {
  count(Outcome::ok);
  fuse_reply_buf(request_, static_cast<const char*>(data), size);
}

}  // namespace alignfs
