#include "alignfs/ctl/mounts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "alignfs/ctl/commands.h"

namespace alignfs::ctl {
namespace {

constexpr const char* kType = "fuse.alignfs";
constexpr const char* kControl = ".alignfs";

/// "mem=512 offset=4096 ..." by name.
std::map<std::string, std::string> words_of(const std::string& text) {
  std::map<std::string, std::string> words;
  std::istringstream stream(text);
  for (std::string word; stream >> word;) {
    const auto equals = word.find('=');
    if (equals != word.npos) words[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return words;
}

/// Blanks and backslashes stand as \NNN in octal.
std::string unescaped(const std::string& field) {
  std::string text;
  for (std::size_t i = 0; i < field.size(); ++i) {
    if (field[i] == '\\' && i + 3 < field.size()) {
      text += char(std::stoi(field.substr(i + 1, 3), nullptr, 8));
      i += 3;
    } else {
      text += field[i];
    }
  }
  return text;
}

/// proc(5): ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE OPTIONS
std::optional<MountEntry> parse_mount(const std::string& line) {
  std::istringstream fields(line);
  MountEntry entry;
  std::string parent, device, options, tag;
  fields >> entry.id >> parent >> device >> entry.root >> entry.mountpoint >> options;
  while (fields >> tag && tag != "-") {
  }
  fields >> entry.type >> entry.source;
  unsigned major = 0, minor = 0;
  if (!fields || std::sscanf(device.c_str(), "%u:%u", &major, &minor) != 2) return std::nullopt;
  entry.device = makedev(major, minor);
  for (auto* text : {&entry.root, &entry.mountpoint, &entry.source}) *text = unescaped(*text);
  return entry;
}

}  // namespace

std::vector<MountEntry> list_mounts() {
  std::vector<MountEntry> mounts;
  std::ifstream file("/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    if (auto entry = parse_mount(line)) mounts.push_back(*std::move(entry));
  }
  return mounts;
}

MountEntry mount_of(const std::string& path) {
  struct statx facts {};
  if (::statx(AT_FDCWD, path.c_str(), 0, STATX_MNT_ID, &facts) != 0) {
    throw cannot("look at", path, errno);
  }
  const auto mounts = list_mounts();
  const auto found = std::find_if(mounts.begin(), mounts.end(), [&](const MountEntry& entry) {
    return entry.id == int(facts.stx_mnt_id);
  });
  if (found == mounts.end()) throw CommandError(fmt::format("no mount is known to hold {}", path));
  return *found;
}

std::optional<AlignfsMount> AlignfsMount::of(const std::string& path) {
  const auto entry = mount_of(path);
  if (entry.type != kType) return std::nullopt;
  if (entry.root == "/") return AlignfsMount(entry.mountpoint, entry.mountpoint, "");
  // A bind mount of a part of it: the control files are at the top of the whole.
  for (const auto& other : list_mounts()) {
    if (other.device == entry.device && other.root == "/") {
      return AlignfsMount(other.mountpoint, entry.mountpoint, entry.root);
    }
  }
  throw CommandError(
      fmt::format("{} is a part of an alignfs mount whose top is not mounted here", path));
}

AlignfsMount AlignfsMount::must_be(const std::string& path) {
  auto mount = of(path);
  if (!mount) throw CommandError(fmt::format("{} is not on an alignfs mount", path));
  return *std::move(mount);
}

std::vector<AlignfsMount> AlignfsMount::all() {
  std::map<dev_t, AlignfsMount> result;
  for (const auto& entry : list_mounts()) {
    if (entry.type != kType || entry.root != "/") continue;
    result.insert({entry.device, AlignfsMount(entry.mountpoint, entry.mountpoint, "")});
  }
  std::vector<AlignfsMount> mounts;
  for (auto& [device, mount] : result) mounts.push_back(std::move(mount));
  return mounts;
}

std::string AlignfsMount::path_on_mount(const std::string& path) const {
  const auto whole = canonical(path);
  const auto rest = part_ + whole.substr(std::min(whole.size(), place_.size()));
  return rest.empty() ? "/" : rest;
}

std::string AlignfsMount::control_file(const std::string& name) const {
  const auto path = top_ + "/" + kControl + "/" + name;
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw cannot("read", path, errno);
  std::string text;
  for (;;) {
    char buffer[64 * 1024];
    const ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
    if (got < 0 && errno != EINTR) throw cannot("read", path, errno);
    if (got == 0) return text;
    if (got > 0) text.append(buffer, std::size_t(got));
  }
}

std::map<std::string, std::string> AlignfsMount::options() const {
  std::map<std::string, std::string> options;
  std::istringstream file(control_file("options"));
  for (std::string line; std::getline(file, line);) {
    const auto equals = line.find('=');
    if (equals != line.npos) options[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return options;
}

std::string AlignfsMount::events_path() const { return top_ + "/" + kControl + "/events"; }

UniqueFd AlignfsMount::open_events() const {
  UniqueFd fd(::open(events_path().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd) throw cannot("read", events_path(), errno);
  return fd;
}

std::optional<std::uint64_t> AlignfsMount::events_published() const {
  constexpr std::string_view kName = "\nalignfs_events_published_total ";
  try {
    const auto stats = control_file("stats");
    const auto found = stats.find(kName);
    if (found != stats.npos) return std::stoull(stats.substr(found + kName.size()));
  } catch (const CommandError&) {
    // As promised.
  }
  return std::nullopt;
}

std::string canonical(const std::string& path) {
  std::error_code problem;
  auto whole = std::filesystem::canonical(path, problem).string();
  if (problem) throw cannot("look at", path, problem.value());
  return whole;
}

std::uint32_t number_of(const std::string& text) {
  return text.empty() ? 0 : std::uint32_t(std::stoul(text));
}

std::optional<FileAlignment> alignment_of(const std::string& path) {
  const auto text = xattr_of(path, "user.alignfs.alignment");
  if (!text) return std::nullopt;
  auto words = words_of(*text);
  return FileAlignment{number_of(words["mem"]), number_of(words["offset"]),
                       number_of(words["read_offset"]), words["source"], words["direct_io"]};
}

std::optional<std::string> xattr_of(const std::string& path, const char* name) {
  std::string value(64 * 1024, '\0');
  const ssize_t size = ::getxattr(path.c_str(), name, value.data(), value.size());
  if (size < 0 && errno != ENODATA && errno != EOPNOTSUPP && errno != EACCES && errno != EPERM) {
    throw cannot("ask", path, errno);
  }
  if (size < 0) return std::nullopt;
  value.resize(std::size_t(size));
  return value;
}

}  // namespace alignfs::ctl
