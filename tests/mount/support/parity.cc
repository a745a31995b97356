#include "mount/support/parity.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sstream>
#include <system_error>

#include "mount/support/fixture.h"

namespace alignfs::test {

namespace {

constexpr std::size_t kChunk = 64 << 10;

void require(bool done, const std::string& what) {
  if (!done) throw std::system_error(errno, std::generic_category(), what);
}

std::string checksum(std::string_view bytes) {
  std::uint64_t hash = 1469598103934665603u;
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211u;
  return std::to_string(bytes.size()) + "#" + std::to_string(hash);
}

/// Content by aligned reads, which a strict mount lets through as well.
std::string content_of(int directory, const std::string& name) {
  const Fd fd(openat(directory, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return "errno " + std::to_string(errno);
  AlignedBuffer buffer(kChunk);
  std::string content;
  while (true) {
    const ssize_t got =
        ::pread(fd.get(), buffer.data(), kChunk, static_cast<off_t>(content.size()));
    if (got < 0) return "errno " + std::to_string(errno);
    content += buffer.view(static_cast<std::size_t>(got));
    if (got < static_cast<ssize_t>(kChunk)) return checksum(content);
  }
}

std::string describe(const struct stat& status) {
  std::ostringstream text;
  text << std::oct << status.st_mode << std::dec << " links " << status.st_nlink << " owner "
       << status.st_uid << ":" << status.st_gid;
  // The size of a directory is the filesystem's own affair and depends on its past.
  if (!S_ISDIR(status.st_mode)) text << " size " << status.st_size;
  if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) {
    text << " device " << major(status.st_rdev) << ":" << minor(status.st_rdev);
  }
  return text.str();
}

std::string xattrs_of(const std::string& path) {
  char list[4096];
  const ssize_t length = llistxattr(path.c_str(), list, sizeof list);
  if (length < 0) return " xattr errno " + std::to_string(errno);
  std::vector<std::string> parts;
  for (const char* name = list; name < list + length; name += std::strlen(name) + 1) {
    char value[4096];
    const ssize_t got = lgetxattr(path.c_str(), name, value, sizeof value);
    parts.push_back(std::string(" ") + name + "=" +
                    checksum({value, static_cast<std::size_t>(std::max<ssize_t>(got, 0))}));
  }
  std::sort(parts.begin(), parts.end());
  std::string text;
  for (const std::string& part : parts) text += part;
  return text;
}

/// Everything below `directory`, a line for each name, sorted.
void list_tree(int directory, const std::string& prefix, std::vector<std::string>* lines) {
  const int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  require(copy >= 0, "open of a directory");
  DIR* const stream = fdopendir(copy);
  while (const dirent* const entry = readdir(stream)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat status {};
    std::string line = prefix + name + ": ";
    if (fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      lines->push_back(line + "errno " + std::to_string(errno));
      continue;
    }
    line += describe(status) + xattrs_of("/proc/self/fd/" + std::to_string(directory) + "/" + name);
    if (S_ISREG(status.st_mode)) line += " content " + content_of(directory, name);
    if (S_ISLNK(status.st_mode)) {
      char target[4096];
      const ssize_t got = readlinkat(directory, name.c_str(), target, sizeof target);
      line += " to " + std::string(target, static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    }
    lines->push_back(line);
    if (!S_ISDIR(status.st_mode)) continue;
    const Fd below(openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (below) list_tree(below.get(), prefix + name + "/", lines);
  }
  closedir(stream);
}

std::vector<std::string> tree(const std::string& path) {
  const Fd directory = open_file(path, O_RDONLY | O_DIRECTORY);
  std::vector<std::string> lines;
  list_tree(directory.get(), "", &lines);
  std::sort(lines.begin(), lines.end());
  return lines;
}

std::vector<std::string> split_lines(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// Runs `test` below `path` and returns its record. Another user's calls are made in a child.
std::vector<std::string> carry_out(const ParityCase& test, const std::string& path, bool direct) {
  const Fd directory = open_file(path, O_RDONLY | O_DIRECTORY);
  Probe probe(directory.get(), direct);
  if (test.uid == 0) {
    test.run(probe);
    return probe.record();
  }
  TempDir scratch;
  const Fd file = open_file(scratch / "record", O_RDWR | O_CREAT);
  const int status = as_user(test.uid, test.uid, {}, [&] {
    test.run(probe);
    for (const std::string& line : probe.record()) dprintf(file.get(), "%s\n", line.c_str());
    return 0;
  });
  EXPECT_EQ(status, 0) << "the child that made the calls";
  return split_lines(read_file(scratch / "record"));
}

std::string difference(const std::vector<std::string>& ours,
                       const std::vector<std::string>& plain) {
  std::string text;
  for (std::size_t i = 0; i < std::max(ours.size(), plain.size()); ++i) {
    const std::string left = i < ours.size() ? ours[i] : "(nothing)";
    const std::string right = i < plain.size() ? plain[i] : "(nothing)";
    if (left != right) text += "  mount: " + left + "\n  plain: " + right + "\n";
  }
  return text;
}

void compare_one(const ParityCase& test, const std::string& plain, const std::string& backing,
                 const std::string& mounted, bool direct) {
  for (const std::string& path : {plain, backing}) {
    require(mkdir(path.c_str(), 0777) == 0 && chmod(path.c_str(), 0777) == 0, "mkdir " + path);
    const Fd directory = open_file(path, O_RDONLY | O_DIRECTORY);
    populate(directory.get());
  }
  const std::vector<std::string> expected = carry_out(test, plain, direct);
  EXPECT_EQ(difference(carry_out(test, mounted, direct), expected), "") << test.name;
  const std::vector<std::string> left = tree(plain);
  EXPECT_EQ(difference(tree(mounted), left), "") << "seen through the mount after " << test.name;
  EXPECT_EQ(difference(tree(backing), left), "") << "in the backing after " << test.name;
}

}  // namespace

long Probe::note(const std::string& what, long result) {
  const int error = errno;
  record_.push_back(what + " = " +
                    (result < 0 ? "errno " + std::to_string(error) : std::to_string(result)));
  errno = error;
  return result;
}

void Probe::note_text(const std::string& what, const std::string& text) {
  record_.push_back(what + " = " + text);
}

Fd Probe::open(const std::string& name, int flags, mode_t mode) {
  Fd fd(openat(directory_, name.c_str(), flags | O_CLOEXEC, mode));
  note("open " + name, fd ? 0 : -1);
  return fd;
}

Fd Probe::open_data(const std::string& name, int flags) {
  return open(name, flags | (direct_ ? O_DIRECT : 0));
}

void Probe::status(const std::string& name) {
  struct stat status {};
  if (note("stat " + name, fstatat(directory_, name.c_str(), &status, AT_SYMLINK_NOFOLLOW)) == 0) {
    note_text("status of " + name, describe(status));
  }
}

void Probe::status_of(const Fd& fd) {
  struct stat status {};
  if (note("fstat", fstat(fd.get(), &status)) == 0) note_text("status", describe(status));
}

void Probe::pwrite(const Fd& fd, off_t offset, std::size_t length, unsigned seed) {
  AlignedBuffer buffer(length);
  buffer.fill(pattern(length, seed));
  note("pwrite", ::pwrite(fd.get(), buffer.data(), length, offset));
}

void Probe::pread(const Fd& fd, off_t offset, std::size_t length) {
  AlignedBuffer buffer(length);
  const long got = note("pread", ::pread(fd.get(), buffer.data(), length, offset));
  if (got >= 0) note_text("bytes", checksum(buffer.view(static_cast<std::size_t>(got))));
}

void populate(int dir) {
  const auto make = [dir](const char* name, std::size_t bytes, unsigned seed) {
    const Fd fd(openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    const std::string content = pattern(bytes, seed);
    require(fd && ::write(fd.get(), content.data(), bytes) == static_cast<ssize_t>(bytes), name);
  };
  make("file", 5000, 1);
  make("other", 100, 2);
  make("empty", 0, 3);
  require(linkat(dir, "file", dir, "hard", 0) == 0, "hard");
  require(mkdirat(dir, "dir", 0755) == 0, "dir");
  require(mkdirat(dir, "full", 0755) == 0, "full");
  make("full/below", 10, 4);
  require(symlinkat("file", dir, "link") == 0, "link");
  require(symlinkat("full", dir, "dirlink") == 0, "dirlink");
  require(symlinkat("nowhere", dir, "dangling") == 0, "dangling");
  require(mknodat(dir, "fifo", S_IFIFO | 0644, 0) == 0, "fifo");
  require(mknodat(dir, "socket", S_IFSOCK | 0644, 0) == 0, "socket");
}

const std::vector<std::string>& names() {
  static const std::vector<std::string> list = {"file",
                                                "other",
                                                "hard",
                                                "dir",
                                                "full",
                                                "link",
                                                "dirlink",
                                                "dangling",
                                                "fifo",
                                                "socket",
                                                "missing",
                                                "full/below",
                                                "file/below",
                                                "missing/below",
                                                "dirlink/below",
                                                "dir/.",
                                                "full/..",
                                                "",
                                                "dangling/x",
                                                std::string(255, 'n'),
                                                std::string(256, 'n')};
  return list;
}

void compare(const std::vector<ParityCase>& cases, const Mode& mode) {
  const Backing disk(LoopDisk::Shape{});
  require(mkdir((disk / "plain").c_str(), 0755) == 0, "plain");
  require(mkdir((disk / "source").c_str(), 0755) == 0, "source");
  const Mount mount(disk / "source", mode.with("allow_other"));
  unsigned number = 0;
  for (const ParityCase& test : cases) {
    const std::string name = std::to_string(++number);
    compare_one(test, disk / "plain/" + name, disk / "source/" + name, mount / name, mode.strict);
  }
  ::testing::Test::RecordProperty("cases", static_cast<int>(cases.size()));
}

}  // namespace alignfs::test
