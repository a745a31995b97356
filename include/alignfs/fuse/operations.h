#pragma once

#include <spdlog/spdlog.h>

#include <chrono>
#include <exception>
#include <new>
#include <type_traits>

#include "alignfs/fuse/filesystem.h"

namespace alignfs {

/// The request handlers of the low-level API, to be given to fuse_session_new() with a Filesystem
/// as user data.
fuse_lowlevel_ops make_operations();

/// The answer to one request: counts it, with its time since the construction, and sends it.
/// Exactly one of its answers is given, once.
class Reply {
 public:
  Reply(Filesystem& filesystem, fuse_req_t request, Operation operation)
      : filesystem_(filesystem), request_(request), operation_(operation) {}

  /// An errno, or 0 for success without data.
  void error(int code);
  void status(const Status& status) { error(status.code()); }
  /// A name that was found or made. Its lookup is taken back if the kernel no longer wants it.
  void entry(Inode& inode, const struct stat& attributes);
  void attributes(const struct stat& attributes);
  /// `size` bytes at `data`; null for none.
  void data(const void* data, std::size_t size);
  /// Counts a success, about `bytes` of a file, that the caller sends himself.
  void count_sent(std::uint64_t bytes = 0) { count(Outcome::ok, bytes); }

  Filesystem& filesystem() const { return filesystem_; }
  fuse_req_t request() const { return request_; }

 private:
  void count(Outcome outcome, std::uint64_t bytes = 0);

  Filesystem& filesystem_;
  fuse_req_t request_;
  Operation operation_;
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

/// What the kernel is told of an inode: attributes, timeouts, node number.
fuse_entry_param entry_of(const Filesystem& filesystem, Inode& inode,
                          const struct stat& attributes);

/// The inode behind a node number that is no control node.
inline Inode& inode_of(Filesystem& filesystem, fuse_ino_t node) {
  return node == FUSE_ROOT_ID ? filesystem.inodes->root() : *reinterpret_cast<Inode*>(node);
}

inline File& file_of(const fuse_file_info* info) { return *reinterpret_cast<File*>(info->fh); }

Requester requester_of(fuse_req_t request);

/// Turns `Handler(Filesystem&, fuse_req_t, ...)` into a callback of the C API out of which nothing
/// is thrown. A handler that throws has not answered yet.
template <auto Handler>
struct Guarded;
template <typename... Args, void (*Handler)(Filesystem&, fuse_req_t, Args...)>
struct Guarded<Handler> {
  static void call(fuse_req_t request, Args... args) noexcept {
    try {
      Handler(*static_cast<Filesystem*>(fuse_req_userdata(request)), request, args...);
    } catch (const std::bad_alloc&) {
      fuse_reply_err(request, ENOMEM);
    } catch (const std::exception& problem) {
      spdlog::error("request failed: {}", problem.what());
      fuse_reply_err(request, EIO);
    }
  }
};

template <typename>
struct AwaitedOf;
template <typename Outcome>
struct AwaitedOf<Task<Outcome>> {
  using type = Outcome;
};
template <typename AnyTask>
using Awaited = typename AwaitedOf<AnyTask>::type;

/// The task that `start()` makes, with a lack of memory turned into an error: the outermost
/// coroutines let nothing out.
template <typename Start, typename Outcome = Awaited<std::invoke_result_t<Start>>>
Task<Outcome> without_throwing(Start start) {
  try {
    co_return co_await start();
  } catch (const std::bad_alloc&) {
    co_return Error{ENOMEM, "no memory for a buffer"};
  }
}

// One function a subject: each fills in its part of the table.
void add_metadata_operations(fuse_lowlevel_ops& table);   // operations_metadata.cc
void add_name_operations(fuse_lowlevel_ops& table);       // operations_names.cc
void add_directory_operations(fuse_lowlevel_ops& table);  // operations_directory.cc
void add_open_operations(fuse_lowlevel_ops& table);       // operations_open.cc
void add_data_operations(fuse_lowlevel_ops& table);       // operations_data.cc
void add_xattr_operations(fuse_lowlevel_ops& table);      // operations_xattr.cc

}  // namespace alignfs
