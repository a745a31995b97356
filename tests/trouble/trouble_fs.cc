// A directory seen through a disk in trouble: a backing for alignfs whose pages cannot be read,
// whose answers are slow, which refuses to be mapped, or which has no more room.
//
//   alignfs_trouble_fs [-o option[,option...]] BACKING MOUNTPOINT
//
//   bad_pages=N[:N...]  page N of every file cannot be read: EIO
//   delay_ms=N          fsync and getattr take N milliseconds longer; not of what is named quick*
//   direct_io           files cannot be mapped shared
//   hold=PATH           fsync and getattr wait while the file PATH exists, to which each adds a
//                       byte; not of what is named quick*
//   max_size=N          no file grows beyond N bytes, and no write reaches there: ENOSPC
//
// It holds files alone. Stays in the foreground until it is unmounted. Files can be mapped and are
// kept in the page cache of the mount, but never read ahead, so that each page meets its own fate.

#define FUSE_USE_VERSION 314
#include <dirent.h>
#include <fcntl.h>
#include <fuse.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <thread>

namespace {

constexpr off_t kPage = 4096;

/// Constant once the mount is made.
struct Trouble {
  int backing = -1;
  std::set<off_t> bad_pages;
  unsigned delay_ms = 0;
  bool direct_io = false;
  std::string hold;
  off_t max_size = std::numeric_limits<off_t>::max();
};
Trouble trouble;

const char* below(const char* path) { return path[1] == '\0' ? "." : path + 1; }
int descriptor(const fuse_file_info* info) { return int(info->fh); }
int as_reply(long result) { return result < 0 ? -errno : int(result); }
void delay(const char* path) {
  using std::chrono::milliseconds;
  if (std::string_view(below(path)).starts_with("quick")) return;
  std::this_thread::sleep_for(milliseconds(trouble.delay_ms));
  if (trouble.hold.empty()) return;
  const int held = ::open(trouble.hold.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (held < 0) return;
  if (::write(held, "+", 1) != 1) std::abort();
  close(held);
  while (access(trouble.hold.c_str(), F_OK) == 0) std::this_thread::sleep_for(milliseconds(1));
}

/// The operations, as struct fuse_operations has them.
namespace ops {

void* init(fuse_conn_info* connection, fuse_config* config) {
  connection->max_readahead = 0;
  config->use_ino = 1;
  // What is to be slow must not be answered from the kernel's cache.
  if (trouble.delay_ms != 0 || !trouble.hold.empty()) config->attr_timeout = 0;
  return nullptr;
}

int getattr(const char* path, struct stat* status, fuse_file_info* info) {
  delay(path);
  if (info != nullptr) return as_reply(fstat(descriptor(info), status));
  return as_reply(fstatat(trouble.backing, below(path), status, AT_SYMLINK_NOFOLLOW));
}

int readdir(const char* path, void* list, fuse_fill_dir_t fill, off_t, fuse_file_info*,
            fuse_readdir_flags) {
  const int fd = openat(trouble.backing, below(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* const directory = fd < 0 ? nullptr : fdopendir(fd);
  if (directory == nullptr) return -errno;
  while (const dirent* const entry = ::readdir(directory)) {
    struct stat status {};
    status.st_ino = entry->d_ino;
    status.st_mode = mode_t(entry->d_type) << 12;
    if (fill(list, entry->d_name, &status, 0, fuse_fill_dir_flags(0)) != 0) break;
  }
  closedir(directory);
  return 0;
}

int unlink(const char* path) { return as_reply(unlinkat(trouble.backing, below(path), 0)); }
int rename(const char* from, const char* to, unsigned flags) {
  return as_reply(renameat2(trouble.backing, below(from), trouble.backing, below(to), flags));
}
int chmod(const char* path, mode_t mode, fuse_file_info* info) {
  if (info != nullptr) return as_reply(fchmod(descriptor(info), mode));
  return as_reply(fchmodat(trouble.backing, below(path), mode, 0));
}
int utimens(const char* path, const timespec times[2], fuse_file_info* info) {
  if (info != nullptr) return as_reply(futimens(descriptor(info), times));
  return as_reply(utimensat(trouble.backing, below(path), times, AT_SYMLINK_NOFOLLOW));
}

/// Without O_APPEND, under which the offsets of writes would be ignored, and without O_DIRECT,
/// which would ask for aligned buffers.
int open_as(const char* path, int flags, mode_t mode, fuse_file_info* info) {
  const int fd = openat(trouble.backing, below(path),
                        (flags & ~(O_APPEND | O_DIRECT | O_NOFOLLOW)) | O_CLOEXEC, mode);
  if (fd < 0) return -errno;
  info->fh = std::uint64_t(fd);
  info->direct_io = trouble.direct_io;
  return 0;
}
int open(const char* path, fuse_file_info* info) { return open_as(path, info->flags, 0, info); }
int create(const char* path, mode_t mode, fuse_file_info* info) {
  return open_as(path, info->flags | O_CREAT, mode, info);
}
int release(const char*, fuse_file_info* info) { return as_reply(close(descriptor(info))); }

int truncate(const char* path, off_t size, fuse_file_info* info) {
  if (size > trouble.max_size) return -ENOSPC;
  if (info != nullptr) return as_reply(ftruncate(descriptor(info), size));
  const int fd = openat(trouble.backing, below(path), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  const int reply = as_reply(ftruncate(fd, size));
  close(fd);
  return reply;
}

int read(const char*, char* into, std::size_t size, off_t offset, fuse_file_info* info) {
  const ssize_t got = pread(descriptor(info), into, size, offset);
  if (got <= 0) return as_reply(got);
  const auto bad = trouble.bad_pages.lower_bound(offset / kPage);
  if (bad == trouble.bad_pages.end() || *bad * kPage >= offset + got) return int(got);
  // To the page cache a short answer means the end of file; direct I/O takes what is there.
  const bool uncached = trouble.direct_io || (info->flags & O_DIRECT) != 0;
  const off_t good = *bad * kPage - offset;
  return uncached && good > 0 ? int(good) : -EIO;
}

int write(const char*, const char* from, std::size_t size, off_t offset, fuse_file_info* info) {
  if (offset + off_t(size) > trouble.max_size) return -ENOSPC;
  return as_reply(pwrite(descriptor(info), from, size, offset));
}

int fsync(const char* path, int data_only, fuse_file_info* info) {
  delay(path);
  const int fd = descriptor(info);
  return as_reply(data_only != 0 ? fdatasync(fd) : ::fsync(fd));
}

int fallocate(const char*, int mode, off_t offset, off_t length, fuse_file_info* info) {
  if (offset + length > trouble.max_size) return -ENOSPC;
  return as_reply(::fallocate(descriptor(info), mode, offset, length));
}

int statfs(const char*, struct statvfs* figures) {
  return as_reply(fstatvfs(trouble.backing, figures));
}

}  // namespace ops

template <typename Number>
bool parse_number(std::string_view text, Number& number) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end && number >= 0;
}

/// Cuts the text before the next `separator` off the front of `list`.
std::string_view take(std::string_view& list, char separator) {
  const auto piece = list.substr(0, list.find(separator));
  list.remove_prefix(std::min(list.size(), piece.size() + 1));
  return piece;
}

bool parse_pages(std::string_view list) {
  do {
    off_t page = 0;
    if (!parse_number(take(list, ':'), page)) return false;
    trouble.bad_pages.insert(page);
  } while (!list.empty());
  return true;
}

bool parse_option(std::string_view option) {
  auto value = option;
  const auto name = take(value, '=');
  if (name == "bad_pages") return parse_pages(value);
  if (name == "delay_ms") return parse_number(value, trouble.delay_ms);
  if (name == "hold") {
    trouble.hold = value;
    return !value.empty();
  }
  if (name == "max_size") return parse_number(value, trouble.max_size);
  if (option == "direct_io") return trouble.direct_io = true;
  return false;
}

int complain(const std::string& what) {
  std::fprintf(stderr, "alignfs_trouble_fs: %s\n", what.c_str());
  return 2;
}

int serve(const fuse_operations& table, const char* mountpoint) {
  char name[] = "alignfs_trouble_fs";
  char options[] = "-osubtype=trouble,allow_other,default_permissions";
  char* list[] = {name, options, nullptr};
  fuse_args arguments = FUSE_ARGS_INIT(2, list);
  fuse* const session = fuse_new(&arguments, &table, sizeof table, nullptr);
  fuse_opt_free_args(&arguments);
  if (session == nullptr) return 1;
  if (fuse_mount(session, mountpoint) != 0) {
    fuse_destroy(session);
    return 1;
  }
  fuse_set_signal_handlers(fuse_get_session(session));
  fuse_loop_config* const config = fuse_loop_cfg_create();
  fuse_loop_cfg_set_max_threads(config, 16);
  const int result = fuse_loop_mt(session, config);
  fuse_loop_cfg_destroy(config);
  fuse_unmount(session);
  fuse_destroy(session);
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  opterr = 0;
  for (int letter = 0; (letter = getopt(argc, argv, "o:")) != -1;) {
    if (letter != 'o') return complain("usage: [-o option[,option...]] BACKING MOUNTPOINT");
    for (std::string_view list = optarg; !list.empty();) {
      const auto option = take(list, ',');
      if (!parse_option(option)) {
        return complain("'" + std::string(option) +
                        "' is none of bad_pages=N[:N...], delay_ms=N, direct_io, hold=PATH, "
                        "max_size=N");
      }
    }
  }
  if (argc - optind != 2) return complain("BACKING and MOUNTPOINT are needed");
  trouble.backing = ::open(argv[optind], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (trouble.backing < 0) return complain(std::string(argv[optind]) + ": " + strerror(errno));
  umask(0);

  fuse_operations table{};
  table.init = ops::init;
  table.getattr = ops::getattr;
  table.readdir = ops::readdir;
  table.unlink = ops::unlink;
  table.rename = ops::rename;
  table.chmod = ops::chmod;
  table.utimens = ops::utimens;
  table.open = ops::open;
  table.create = ops::create;
  table.release = ops::release;
  table.truncate = ops::truncate;
  table.read = ops::read;
  table.write = ops::write;
  table.fsync = ops::fsync;
  table.fallocate = ops::fallocate;
  table.statfs = ops::statfs;
  return serve(table, argv[optind + 1]);
}
