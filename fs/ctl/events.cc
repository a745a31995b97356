#include "alignfs/ctl/events.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "alignfs/ctl/commands.h"

namespace alignfs::ctl {

std::optional<Event> EventReader::next() {
  for (;;) {
    if (const auto end = pending_.find('\n'); end != pending_.npos) {
      auto event = Event::parse(pending_.begin(), pending_.begin() + std::ptrdiff_t(end), nullptr,
                                /*allow_exceptions=*/false);
      pending_.erase(0, end + 1);
      if (event.is_object()) return event;
      continue;
    }
    char buffer[64 * 1024];
    const ssize_t got = ::read(fd_.get(), buffer, sizeof buffer);
    if (got > 0) {
      pending_.append(buffer, std::size_t(got));
      continue;
    }
    if (got == 0 || errno == EAGAIN) return std::nullopt;
    if (errno != EINTR) {
      throw CommandError(fmt::format("cannot read the events: {}", std::strerror(errno)));
    }
  }
}

std::string field(const Event& event, const char* name) {
  const auto found = event.find(name);
  if (found == event.end() || found->is_null()) return "";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

std::string text_of(const Event& event) { return field(event, "text"); }

std::string dated(const Event& event, const std::string& text) {
  return fmt::format("{}  {}", field(event, "time"), text);
}

std::string headline_of(const Event& event) {
  constexpr std::string_view kName = "alignfs: ";
  auto line = text_of(event);
  line.resize(std::min(line.size(), line.find('\n')));
  return line.starts_with(kName) ? line.substr(kName.size()) : line;
}

}  // namespace alignfs::ctl
