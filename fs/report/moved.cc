#include "alignfs/report/moved.h"

#include <algorithm>
#include <iterator>

namespace alignfs {
namespace {

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

nlohmann::ordered_json to_json(const Moved& moved) {
  nlohmann::ordered_json object;
  for (const auto& field : kFields) object[field.name] = moved.*field.value;
  return object;
}

Moved moved_in(const nlohmann::json& object) {
  Moved moved;
  for (const auto& field : kFields) moved.*field.value = object.value(field.name, std::uint64_t(0));
  return moved;
}

}  // namespace alignfs
