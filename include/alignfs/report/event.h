#pragma once

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>

#include "alignfs/align/diagnosis.h"
#include "alignfs/file/observer.h"

namespace alignfs {

/// What a program is written in, as far as the advice to it differs.
enum class Runtime : std::uint8_t { c, python, dd, fio, java, go, node };

/// The process behind a request. pid 0 and an empty comm mean unknown.
struct Process {
  pid_t pid = 0;
  pid_t tid = 0;
  uid_t uid = 0;
  std::string comm;
  Runtime runtime = Runtime::c;
};

/// One explanation: everything its text and its JSON say. A value; immutable once published except
/// for `repeated`.
struct Event {
  std::uint64_t seq = 0;  ///< from 1, without gaps, in order of publication
  timespec time{};        ///< CLOCK_REALTIME
  Action action = Action::rejected;
  Direction direction = Direction::read;
  Process process;
  std::string path;  ///< from the mount's root, with a leading slash; "" unknown
  FileId file;
  /// The program's own call; its offset and length are the fragment's where it was not seen.
  CallView view;
  Rules rules;
  Diagnosis diagnosis;
  /// The device under the file, as "vda"; "" where it has none of its own (tmpfs, btrfs).
  std::string device;
  /// For Action::fallback: what was fallen back from.
  Fallback cause = Fallback::unproven;
  int error = 0;               ///< errno given to the program, 0 if the request was carried out
  std::uint64_t repeated = 1;  ///< events merged into this one, itself included
};

const char* name_of(Action action);

/// The event as one JSON object without a newline: the contract of docs/events.md. Fields are never
/// renamed; what is not known is null, with the reason in "unseen".
std::string to_json(const Event& event);

/// The explanation as lines of text, the last without a newline. Names the broken rules, the
/// numbers, where each rule comes from, the nearest legal request and a way out for the program.
std::string to_text(const Event& event);

/// The first line of to_text without the "alignfs: " prefix: for one-line displays.
std::string headline(const Event& event);

}  // namespace alignfs
