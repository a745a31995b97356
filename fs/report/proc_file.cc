#include "proc_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace alignfs {

Result<UniqueFd> open_proc(pid_t tid, const char* name) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/%s", int(tid), name);
  UniqueFd file(open(path, O_RDONLY | O_CLOEXEC));
  if (!file) return last_error("open a file of /proc");
  return file;
}

Result<std::string_view> read_proc(int file, std::span<char> buffer) {
  const ssize_t got = pread(file, buffer.data(), buffer.size(), 0);
  if (got < 0) return last_error("read a file of /proc");
  return std::string_view(buffer.data(), std::size_t(got));
}

Result<std::string_view> read_proc(pid_t tid, const char* name, std::span<char> buffer) {
  const auto file = open_proc(tid, name);
  if (!file) return file.error();
  return read_proc(file->get(), buffer);
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
