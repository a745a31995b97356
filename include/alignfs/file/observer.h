#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "alignfs/align/call.h"
#include "alignfs/align/diagnosis.h"
#include "alignfs/base/counters.h"

namespace alignfs {

/// A backing file, whatever names it has.
struct FileId {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const FileId&) const = default;
};

/// Who sent a request, as the kernel states it.
struct Requester {
  /// Thread id; 0 for writeback and for callers outside the daemon's pid namespace.
  pid_t tid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

/// One read or write as the kernel delivered it: possibly a fragment of the program's call.
struct Fragment {
  Direction direction = Direction::read;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  Requester requester;
  FileId file;
  /// A descriptor of the backing file, valid during the call: the way to its present path.
  int backing_fd = -1;
};

/// What was done about a misaligned request.
enum class Action : std::uint8_t { rejected, bounced, split, fallback };

/// Why a file is not reached in the way its mode says.
enum class Fallback : std::uint8_t {
  unproven,        ///< direct: O_DIRECT is accepted, but nothing vouches for it
  refused,         ///< direct: O_DIRECT is refused
  unmappable,      ///< mapped: the file cannot be mapped, or a map would not show what reads do
  mapping_limit,   ///< mapped: as much is mapped as the mount may
  mapping_failed,  ///< mapped: the file could not be opened or mapped for now
  no_passthrough,  ///< passthrough: the kernel does not serve the file itself
};

/// What became of one read or write.
struct Served {
  Outcome outcome = Outcome::error;
  Counters::Cell traffic;
  std::chrono::nanoseconds time{0};
};

/// How the file floor asks about callers and tells what it did to them, so that it need not know
/// how an explanation is worded or where it goes. All calls are thread-safe and may be made on any
/// request; none fails.
class RequestObserver {
 public:
  virtual ~RequestObserver() = default;

  /// Looks at the call behind `fragment`. Costs a few microseconds: for strict mounts only.
  virtual CallView observe(const Fragment& fragment) = 0;

  /// The call in `view` broke `rules`: Action::rejected if it was refused with EINVAL, else it was
  /// carried out all the same.
  virtual void judged(Action action, const Fragment& fragment, const CallView& view,
                      const Rules& rules, const Diagnosis& diagnosis) = 0;

  /// The fragment breaks `rules` and was carried out all the same, as `action` says. The observer
  /// looks at the caller itself, and only as often as an event stands alone.
  virtual void adapted(Action action, const Fragment& fragment, const Rules& rules) = 0;

  /// The file is reached in another way than its mode's own. `opened` names file, descriptor and
  /// caller; `rules` are what direct I/O would ask for, of 0 bytes where that is not the question.
  /// The observer reports each reason once a device.
  virtual void fallback(Fallback reason, const Fragment& opened, const Rules& rules) = 0;

  /// A read or write is over. Comes for each of them: costs next to nothing while nobody wants to
  /// know.
  virtual void served(const Fragment& fragment, const Served& served) = 0;
};

}  // namespace alignfs
