#include <cstring>
#include <nlohmann/json.hpp>

#include <fmt/format.h>

#include "alignfs/base/utc_time.h"
#include "alignfs/report/advice.h"
#include "alignfs/report/event.h"

namespace alignfs {
namespace {

using Json = nlohmann::ordered_json;

Json text_or_null(std::string_view text) { return text.empty() ? Json(nullptr) : Json(text); }

Json pid_or_null(pid_t pid) { return pid == 0 ? Json(nullptr) : Json(pid); }

Json buffer_of(const Event& event) {
  const auto& segments = event.view.call.segments;
  return segments.empty() ? Json(nullptr) : Json(fmt::format("{:#x}", segments[0].address));
}

/// Null where no boundary is in question: mapped and buffered modes.
Json required_by(const Rules& rules) {
  if (rules.block.bytes == 0) return nullptr;
  return {{"memory", rules.memory.bytes},
          {"offset", rules.block.bytes},
          {"length", rules.block.bytes},
          {"source", name_of(rules.block.source)},
          {"memory_source", name_of(rules.memory.source)}};
}

Json broken_rules(std::uint8_t broken) {
  Json names = Json::array();
  if ((broken & kMemory) != 0) names.push_back("memory");
  if ((broken & kOffset) != 0) names.push_back("offset");
  if ((broken & kLength) != 0) names.push_back("length");
  return names;
}

/// Why fields are null. Empty where none is, or where null says it all (errno, nearest).
std::string unseen_reasons(const Event& event) {
  std::string reasons;
  const auto add = [&reasons](std::string_view reason) {
    if (!reasons.empty()) reasons += "; ";
    reasons += reason;
  };
  if (event.action == Action::fallback) {
    add(is_found_at_open(event.cause) ? "found when the file was opened, not by a request"
                                      : "found when the file was first read, whatever the request");
  } else if (event.view.kind != CallView::Kind::seen) {
    add(event.view.unseen.empty() ? "no read or write call" : event.view.unseen);
  }
  if (event.process.tid == 0 && event.view.kind == CallView::Kind::seen) {
    add("the kernel names no caller");
  } else if (event.process.tid != 0 && (event.process.pid == 0 || event.process.comm.empty())) {
    add("the caller's /proc entry could not be read");
  }
  if (event.path.empty()) add("the file's path could not be read");
  return reasons;
}

/// The fields of the request. A fallback is found at open: there is no request to tell of.
void add_request(Json& object, const Event& event) {
  const Call& call = event.view.call;
  const bool request = event.action != Action::fallback;
  object["buffer"] = buffer_of(event);
  object["offset"] = request ? Json(call.offset) : Json(nullptr);
  object["length"] = request ? Json(call.length) : Json(nullptr);
  if (call.segments.size() > 1) object["segments"] = call.segments.size();
  object["required"] = required_by(event.rules);
  object["broken"] = broken_rules(event.diagnosis.broken);
  object["nearest"] = request ? Json{{"offset", event.diagnosis.nearest_offset},
                                     {"length", event.diagnosis.nearest_length}}
                              : Json(nullptr);
}

const char* operation_name(const Event& event) {
  if (event.action == Action::fallback && is_found_at_open(event.cause)) return "open";
  return event.direction == Direction::read ? "read" : "write";
}

}  // namespace

const char* name_of(Action action) {
  switch (action) {
    case Action::rejected: return "rejected";
    case Action::bounced: return "bounced";
    case Action::split: return "split";
    case Action::fallback: break;
  }
  return "fallback";
}

std::string to_json(const Event& event) {
  Json object;
  object["seq"] = event.seq;
  object["time"] = utc_time(event.time);
  object["action"] = name_of(event.action);
  object["op"] = operation_name(event);
  object["syscall"] = text_or_null(event.view.call.syscall);
  object["path"] = text_or_null(event.path);
  object["pid"] = pid_or_null(event.process.pid);
  object["tid"] = pid_or_null(event.process.tid);
  object["uid"] = event.process.uid;
  object["comm"] = text_or_null(event.process.comm);
  add_request(object, event);
  object["errno"] = event.error == 0 ? Json(nullptr) : text_or_null(strerrorname_np(event.error));
  if (std::string reasons = unseen_reasons(event); !reasons.empty()) object["unseen"] = reasons;
  if (event.action == Action::fallback) object["reason"] = reason_for(event.cause);
  object["text"] = to_text(event);
  // Last, so that a line can be stored up to here and the count be added when it is read.
  object["repeated"] = event.repeated;
  // ASCII only: names are chosen by strangers, and people cat this to a terminal.
  return object.dump(-1, ' ', true, Json::error_handler_t::replace);
}

}  // namespace alignfs
