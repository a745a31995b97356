#include "mount/support/observe.h"

#include <poll.h>
#include <sys/xattr.h>

#include <cerrno>
#include <sstream>
#include <system_error>
#include <thread>

namespace alignfs::test {

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

Events::Events(const std::string& mountpoint)
    : fd_(open_file(mountpoint + "/.alignfs/events", O_RDONLY | O_NONBLOCK)) {}

std::vector<nlohmann::json> Events::drain() {
  char chunk[65536];
  while (true) {
    const ssize_t got = read(fd_.get(), chunk, sizeof chunk);
    if (got > 0) {
      rest_.append(chunk, static_cast<std::size_t>(got));
      continue;
    }
    if (got < 0 && errno == EAGAIN) break;
    throw std::system_error(got < 0 ? errno : EIO, std::generic_category(), "read events");
  }
  std::vector<nlohmann::json> list;
  std::size_t begin = 0;
  for (std::size_t end; (end = rest_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    list.push_back(nlohmann::json::parse(rest_.substr(begin, end - begin)));
  }
  rest_.erase(0, begin);
  return list;
}

std::optional<nlohmann::json> Events::wait_for(
    const std::function<bool(const nlohmann::json&)>& wanted, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (true) {
    for (nlohmann::json& event : drain()) {
      if (wanted(event)) return event;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    if (left.count() <= 0) return std::nullopt;
    pollfd wait{fd_.get(), POLLIN, 0};
    poll(&wait, 1, static_cast<int>(left.count()));
  }
}

Stats::Stats(const std::string& mountpoint) {
  std::istringstream text(read_file(mountpoint + "/.alignfs/stats"));
  for (std::string line; std::getline(text, line);) {
    if (line.empty() || line[0] == '#') continue;
    const std::size_t space = line.rfind(' ');
    samples_[line.substr(0, space)] = std::stod(line.substr(space + 1));
  }
}

double Stats::sum(const std::string& metric, const std::string& operation) const {
  double total = 0;
  for (const auto& [name, value] : samples_) {
    if (name.starts_with(metric + "{") &&
        name.find("op=\"" + operation + "\"") != std::string::npos) {
      total += value;
    }
  }
  return total;
}

double Stats::value(const std::string& metric, const std::string& operation,
                    const std::string& outcome) const {
  double total = 0;
  for (const auto& [name, value] : samples_) {
    if (name.starts_with(metric + "{") &&
        name.find("op=\"" + operation + "\"") != std::string::npos &&
        name.find("outcome=\"" + outcome + "\"") != std::string::npos) {
      total += value;
    }
  }
  return total;
}

std::optional<std::string> get_xattr(const std::string& path, const std::string& name) {
  char value[65536];
  const ssize_t got = getxattr(path.c_str(), name.c_str(), value, sizeof value);
  if (got < 0) return std::nullopt;
  return std::string(value, static_cast<std::size_t>(got));
}

std::string last_error(const std::string& path) {
  return get_xattr(path, "user.alignfs.last_error").value_or("");
}

}  // namespace alignfs::test
