#include "proc_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "alignfs/base/unique_fd.h"

namespace alignfs {

Result<std::string_view> read_proc(pid_t tid, const char* name, std::span<char> buffer) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/%s", int(tid), name);
  const UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
  if (!fd) return last_error("open a file of /proc");
  const ssize_t got = read(fd.get(), buffer.data(), buffer.size());
  if (got < 0) return last_error("read a file of /proc");
  return std::string_view(buffer.data(), std::size_t(got));
}

std::string_view behind_name(std::string_view stat) {
  // The name stands in brackets and may hold any of them itself.
  return stat.substr(std::min(stat.rfind(')') + 1, stat.size()));
}

std::optional<std::uint64_t> number_after(std::string_view text, std::string_view key, int base) {
  for (std::size_t at = text.find(key); at != std::string_view::npos; at = text.find(key, at + 1)) {
    if (at != 0 && text[at - 1] != '\n') continue;
    std::string_view rest = text.substr(at + key.size());
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), value, base);
    if (parsed.ec != std::errc{}) return std::nullopt;
    return value;
  }
  return std::nullopt;
}

}  // namespace alignfs
