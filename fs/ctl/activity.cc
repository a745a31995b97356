#include "alignfs/ctl/activity.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

namespace alignfs::ctl {
namespace {

using Json = nlohmann::json;

struct Field {
  const char* name;
  std::uint64_t Moved::*value;
};
constexpr Field kFields[] = {
    {"requests", &Moved::requests},         {"bytes", &Moved::bytes},
    {"backing_read", &Moved::backing_read}, {"backing_write", &Moved::backing_write},
    {"page_cache", &Moved::page_cache},     {"adapted", &Moved::adapted},
    {"rejected", &Moved::rejected},         {"errors", &Moved::errors},
    {"nanoseconds", &Moved::nanoseconds},
};

Moved moved_in(const Json& object) {
  Moved moved;
  for (const auto& field : kFields) moved.*field.value = object.value(field.name, std::uint64_t(0));
  return moved;
}

}  // namespace

Moved& Moved::operator+=(const Moved& more) {
  for (const auto& field : kFields) this->*field.value += more.*field.value;
  return *this;
}

Moved& Moved::operator-=(const Moved& earlier) {
  for (const auto& field : kFields) this->*field.value -= earlier.*field.value;
  return *this;
}

bool Moved::covers(const Moved& earlier) const {
  return std::all_of(std::begin(kFields), std::end(kFields), [&](const Field& field) {
    return this->*field.value >= earlier.*field.value;
  });
}

Activity look_at_activity(const AlignfsMount& mount) {
  Activity activity;
  std::istringstream lines(mount.control_file("activity"));
  for (std::string line; std::getline(lines, line);) {
    const auto object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object()) continue;
    if (object.contains("watch")) {
      activity.watch = object.value("watch", std::uint64_t(0));
      activity.forgotten = object.value("forgotten", std::uint64_t(0));
    } else {
      activity.rows.push_back({object.value("pid", 0), object.value("comm", ""),
                               object.value("path", ""),
                               moved_in(object.value("read", Json::object())),
                               moved_in(object.value("write", Json::object()))});
    }
  }
  return activity;
}

}  // namespace alignfs::ctl
