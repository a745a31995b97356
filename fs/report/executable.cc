#include "executable.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "alignfs/base/alignment.h"
#include "alignfs/base/unique_fd.h"
#include "lru_map.h"

namespace alignfs {
namespace {

/// What the Go linker puts at the head of its build information, in the data segment.
constexpr std::string_view kGoMark = "\xff Go buildinf:";
constexpr std::size_t kMarkAlignment = 16;
constexpr std::uint64_t kScanLimit = std::uint64_t{4} << 20U;
constexpr std::size_t kRememberedExecutables = 256;

/// One executable as it was at one time; a file that is replaced is another one.
struct ExecutableId {
  FileId file;
  std::int64_t modified = 0;  ///< nanoseconds since 1970
  bool operator==(const ExecutableId&) const = default;
};
struct ExecutableIdHash {
  std::size_t operator()(const ExecutableId& id) const {
    return combine_hashes(FileIdHash{}(id.file), std::size_t(id.modified));
  }
};

class GoExecutables {
 public:
  std::optional<bool> find(const ExecutableId& id) {
    const std::lock_guard lock(mutex_);
    const bool* known = known_.find(id);
    return known == nullptr ? std::nullopt : std::optional(*known);
  }
  void remember(const ExecutableId& id, bool is_go) {
    const std::lock_guard lock(mutex_);
    known_.touch(id) = is_go;
  }

 private:
  std::mutex mutex_;
  LruMap<ExecutableId, bool, ExecutableIdHash> known_{kRememberedExecutables};
};

bool read_fully(int fd, void* into, std::size_t bytes, std::uint64_t offset) {
  return pread(fd, into, bytes, off_t(offset)) == ssize_t(bytes);
}

/// True if Go's build information begins at `text`: the mark, the size of a pointer, flags. All
/// three, because a program that merely knows the mark may hold it in its data too.
bool begins_build_information(std::string_view text) {
  if (text.size() < kMarkAlignment || !text.starts_with(kGoMark)) return false;
  const auto pointer_size = static_cast<unsigned char>(text[kGoMark.size()]);
  const auto flags = static_cast<unsigned char>(text[kGoMark.size() + 1]);
  return (pointer_size == 4 || pointer_size == 8) && flags <= 3;
}

/// Looks for build information in `bytes` of the file from `offset` on. The linker aligns it, so
/// that it never lies across two chunks.
bool holds_build_information(int fd, std::uint64_t offset, std::uint64_t bytes) {
  constexpr std::size_t kChunk = std::size_t{64} << 10U;
  std::vector<char> chunk(kChunk);
  const std::uint64_t end = offset + bytes;
  for (offset = align_up(offset, kMarkAlignment); offset < end; offset += kChunk) {
    const auto wanted = std::size_t(std::min<std::uint64_t>(kChunk, end - offset));
    const ssize_t got = pread(fd, chunk.data(), wanted, off_t(offset));
    if (got <= 0) return false;
    const std::string_view text(chunk.data(), std::size_t(got));
    for (std::size_t at = 0; at < text.size(); at += kMarkAlignment) {
      if (begins_build_information(text.substr(at))) return true;
    }
  }
  return false;
}

std::string proc_path(pid_t pid, const char* name) {
  return "/proc/" + std::to_string(pid) + "/" + name;
}

/// True if mount `mount_id`, as process `pid` sees it, is a FUSE mount, or is not to be found.
bool may_be_fuse(pid_t pid, std::uint64_t mount_id) {
  std::ifstream mounts(proc_path(pid, "mountinfo"));
  const std::string prefix = std::to_string(mount_id) + " ";
  for (std::string line; std::getline(mounts, line);) {
    if (!line.starts_with(prefix)) continue;
    const auto type = line.find(" - ");
    return type == std::string::npos || line.compare(type + 3, 4, "fuse") == 0;
  }
  return true;
}

bool is_go_process(pid_t pid) {
  static GoExecutables known;
  // O_PATH and AT_STATX_DONT_SYNC: an executable on a FUSE mount is named without asking its
  // daemon.
  const UniqueFd path(open(proc_path(pid, "exe").c_str(), O_PATH | O_CLOEXEC));
  if (!path) return false;
  struct statx facts {};
  if (statx(path.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS | STATX_MNT_ID,
            &facts) != 0) {
    return false;
  }
  const ExecutableId id{{dev_t(facts.stx_dev_major) << 32U | facts.stx_dev_minor, facts.stx_ino},
                        facts.stx_mtime.tv_sec * 1'000'000'000LL + facts.stx_mtime.tv_nsec};
  if (const auto is_go = known.find(id)) return *is_go;
  if ((facts.stx_mask & STATX_MNT_ID) == 0 || !S_ISREG(facts.stx_mode)) return false;
  if (may_be_fuse(pid, facts.stx_mnt_id)) return false;
  const std::string again = "/proc/self/fd/" + std::to_string(path.get());
  const UniqueFd file(open(again.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return false;
  const bool is_go = is_go_executable(file.get());
  known.remember(id, is_go);
  return is_go;
}

/// Name of the executable, or "" if it may not be known.
std::string executable_name(pid_t pid) {
  char target[PATH_MAX];
  const ssize_t length = readlink(proc_path(pid, "exe").c_str(), target, sizeof target);
  if (length <= 0) return "";
  std::string_view name(target, std::size_t(length));
  constexpr std::string_view kDeleted = " (deleted)";  // replaced by an upgrade while it runs
  if (name.ends_with(kDeleted)) name.remove_suffix(kDeleted.size());
  return std::string(name.substr(name.rfind('/') + 1));
}

}  // namespace

bool is_go_executable(int fd) {
  Elf64_Ehdr header{};
  if (!read_fully(fd, &header, sizeof header, 0)) return false;
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return false;
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(Elf64_Phdr)) {
    return false;
  }
  std::uint64_t budget = kScanLimit;
  const std::size_t segments = std::min<std::size_t>(header.e_phnum, 64);
  for (std::size_t i = 0; i < segments && budget != 0; ++i) {
    Elf64_Phdr segment{};
    if (!read_fully(fd, &segment, sizeof segment, header.e_phoff + i * sizeof segment))
      return false;
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) == 0) continue;
    const auto bytes = std::min<std::uint64_t>(segment.p_filesz, budget);
    if (holds_build_information(fd, segment.p_offset, bytes)) return true;
    budget -= bytes;
  }
  return false;
}

Runtime runtime_of_name(std::string_view name) {
  if (name.starts_with("python") || name.starts_with("pypy")) return Runtime::python;
  if (name == "java") return Runtime::java;
  if (name == "node" || name == "nodejs") return Runtime::node;
  if (name == "dd") return Runtime::dd;
  if (name == "fio") return Runtime::fio;
  return Runtime::c;
}

Runtime runtime_of(pid_t pid, std::string_view comm) {
  const std::string name = executable_name(pid);
  const bool many = name == "busybox" || name == "coreutils" || name == "toybox";
  const Runtime runtime = runtime_of_name(name.empty() || many ? comm : name);
  if (runtime != Runtime::c || name.empty() || many) return runtime;
  return is_go_process(pid) ? Runtime::go : Runtime::c;
}

}  // namespace alignfs
