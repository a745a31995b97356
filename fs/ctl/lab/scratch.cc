#include "alignfs/ctl/lab/scratch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "alignfs/base/alignment.h"
#include "alignfs/base/unique_fd.h"
#include "alignfs/ctl/commands.h"
#include "alignfs/ctl/lab/file.h"
#include "alignfs/ctl/lab/interrupt.h"
#include "alignfs/ctl/mounts.h"
#include "alignfs/io/transfer.h"

namespace alignfs::ctl::lab {
namespace {

constexpr std::uint64_t kMost = std::uint64_t(1) << 30U;
constexpr std::uint64_t kPiece = std::uint64_t(1) << 20U;
/// What st_blocks counts in.
constexpr std::uint64_t kStatBlock = 512;

/// By whole pages from memory on a page, and without O_DIRECT: any mount takes that but for the
/// end, which truncation makes.
void copy_data(int from, int to, std::uint64_t begin, std::uint64_t end, const std::string& name) {
  const Pages pages(kPiece);
  for (auto at = begin; at < end;) {
    if (interrupted()) throw CommandError("interrupted while the file was copied");
    const auto wanted = std::min(kPiece, align_up(end - at, kPageSize));
    const auto got = read_fully(from, {pages.data(), wanted}, at, 1);
    if (!got) throw cannot("copy", name, got.code());
    if (*got == 0) return;
    const auto whole = align_up(*got, kPageSize);
    std::fill(pages.data() + *got, pages.data() + whole, std::byte{0});
    const auto written = write_fully(to, {pages.data(), whole}, at, 1, Durability::none);
    if (!written) throw cannot("copy", name, written.code());
    at += *got;
  }
}

void copy_with_holes(int from, int to, std::uint64_t size, const std::string& name) {
  for (off_t at = 0; std::uint64_t(at) < size;) {
    const off_t data = ::lseek(from, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    const off_t hole = data < 0 ? off_t(size) : ::lseek(from, data, SEEK_HOLE);
    const off_t end = hole < 0 ? off_t(size) : hole;
    const auto begin = align_down(std::uint64_t(std::max<off_t>(data, at)), kPageSize);
    copy_data(from, to, begin, std::uint64_t(end), name);
    at = end;
  }
  if (::ftruncate(to, off_t(size)) != 0) throw cannot("copy", name, errno);
}

}  // namespace

Scratch::Scratch(const std::string& file) {
  const auto parent = std::filesystem::path(canonical(file)).parent_path();
  path_ = (parent / ".alignctl-XXXXXX").string();
  if (::mkdtemp(path_.data()) == nullptr) {
    throw cannot("make a directory for copies in", parent.string(), errno);
  }
}

Scratch::~Scratch() {
  std::error_code problem;
  std::filesystem::remove_all(path_, problem);
  if (problem) fmt::print(stderr, "alignctl: cannot remove {}: {}\n", path_, problem.message());
}

std::string Scratch::directory(const std::string& name) const {
  const auto path = path_ + "/" + name;
  if (::mkdir(path.c_str(), 0700) != 0) throw cannot("make", path, errno);
  return path;
}

void copy_file(const std::string& from, const std::string& to) {
  const UniqueFd source(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (!source) throw cannot("copy", from, errno);
  struct stat facts {};
  if (::fstat(source.get(), &facts) != 0) throw cannot("copy", from, errno);
  if (std::uint64_t(facts.st_blocks) * kStatBlock > kMost) {
    throw CommandError(fmt::format("{} holds more than 1 GiB, which is not copied", from));
  }
  const UniqueFd target(::open(to.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!target) throw cannot("copy", from, errno);
  if (::ioctl(target.get(), FICLONE, source.get()) == 0) return;
  copy_with_holes(source.get(), target.get(), std::uint64_t(facts.st_size), from);
  // A page that is cached changes the way of a write next to it: the copy is to be one on the disk.
  if (::fsync(target.get()) != 0) throw cannot("copy", from, errno);
  ::posix_fadvise(target.get(), 0, 0, POSIX_FADV_DONTNEED);
}

}  // namespace alignfs::ctl::lab
