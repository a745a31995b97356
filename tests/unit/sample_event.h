#pragma once

#include <cerrno>
#include <string>
#include <utility>

#include "alignfs/align/diagnosis.h"
#include "alignfs/report/event.h"

namespace alignfs {

/// A disk with 4096-byte blocks by option, on memory boundaries stated by statx.
inline Rules sample_rules() { return {{512, Source::statx}, {4096, Source::option}, {}}; }

inline Call sample_call() {
  return {.syscall = "pwrite64",
          .fd = 3,
          .offset = 100,
          .length = 1024,
          .segments = {{0x55e508d70880, 1024}}};
}

/// The refusal of `call` as the reporter would describe it, diagnosis included.
inline Event refusal_of(Call call, const Rules& rules, Direction direction = Direction::write) {
  Event event;
  event.action = Action::rejected;
  event.direction = direction;
  event.process = {7318, 7318, 1000, "python3", Runtime::python};
  event.path = "/db/wal";
  event.file = {0xfe00, 12};
  event.rules = rules;
  event.diagnosis = diagnose(call, rules);
  event.view = {CallView::Kind::seen, std::move(call), ""};
  event.device = "vda";
  event.error = EINVAL;
  return event;
}

/// The event of docs/events.md: all three rules broken.
inline Event sample_event() { return refusal_of(sample_call(), sample_rules()); }

/// `event` as it is where the caller's call could not be looked at.
inline Event without_call(Event event, std::string why) {
  Call as_delivered;
  as_delivered.offset = event.view.call.offset;
  as_delivered.length = event.view.call.length;
  event.diagnosis = diagnose(as_delivered, event.rules);
  event.view = {CallView::Kind::unseen, std::move(as_delivered), std::move(why)};
  return event;
}

}  // namespace alignfs
