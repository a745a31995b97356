#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "alignfs/align/geometry.h"
#include "alignfs/base/map_advice.h"

namespace alignfs {

/// A mount's `-o` options, checked. Every field is a line of docs/options.md.
struct MountOptions {
  /// How backing files are reached: O_DIRECT, a shared mapping, plain reads and writes.
  enum class Mode { direct, mapped, buffered };
  /// What becomes of a request that O_DIRECT would refuse.
  enum class Unaligned { bounce, split, reject, audit };
  /// Whom `unaligned=reject` and `audit` judge: everybody, or only files opened with O_DIRECT.
  enum class Enforce { all, odirect };

  /// How requests are served and the backing is called: by io_uring where it is allowed, by it or
  /// not at all, or by threads that wait.
  enum class Engine { automatic, uring, threads };

  /// Whether requests come by io_uring as well: where that is known to be quicker and does no harm,
  /// never, or always.
  enum class FuseUring { automatic, off, on };

  Mode mode = Mode::direct;
  // Of mode=direct alone, up to require_direct.
  Unaligned unaligned = Unaligned::bounce;
  Enforce enforce = Enforce::all;
  AlignmentOptions alignment;
  bool require_direct = false;
  // Of mode=mapped alone.
  MapAdvice map_advice = MapAdvice::normal;
  bool map_populate = false;
  /// mapped and buffered: the kernel serves reads and writes itself where it can.
  bool passthrough = false;
  bool dsync = false;
  Engine engine = Engine::automatic;
  /// With io_uring alone.
  FuseUring fuse_uring = FuseUring::automatic;
  /// With io_uring: how long the daemon looks for the next request before it sleeps; 0 is not at
  /// all.
  std::chrono::microseconds poll{50};
  /// With io_uring: the thread that serves a caller who is alone may share his processor.
  bool share_processor = true;
  /// Bytes of one request at most; nullopt is what the kernel allows.
  std::optional<std::size_t> max_request;
  /// Worker threads; nullopt is auto.
  std::optional<unsigned> threads;
  /// Refusals are also shown on the terminal of the program that was refused.
  bool report_on_terminals = false;
  /// Events the ring keeps.
  std::size_t events = 1024;
  /// The .alignfs directory and the user.alignfs.* xattrs.
  bool control = true;
  std::string log_level = "info";
  /// Empty: stderr in the foreground, syslog as a daemon.
  std::string log_file;
  /// Seconds the kernel may trust an attribute, an entry.
  double attr_timeout = 1.0;
  double entry_timeout = 1.0;

  /// Each request is judged as O_DIRECT would judge it.
  bool is_strict() const {
    return mode == Mode::direct &&
           (unaligned == Unaligned::reject || unaligned == Unaligned::audit);
  }

  bool read_only = false;
  bool no_atime = false;
  /// Reads are not to move access times of the backing.
  bool keeps_atime() const { return read_only || no_atime; }
  /// Options for the kernel and fusermount3, as they were given: "ro", "noexec", "allow_other".
  std::vector<std::string> fuse;
};

/// Outcome of parsing: options, or one line that names the wrong one and the values it takes.
struct ParsedOptions {
  MountOptions options;
  std::string complaint;  ///< empty if all is well
};

/// Parses what followed each `-o`, in order; a later value wins. A backslash keeps the next
/// character, as in mount(8), so that a comma may stand in a file name.
ParsedOptions parse_mount_options(const std::vector<std::string>& arguments);

/// name=value of every option in force, in the order of docs/options.md. Those that the others
/// leave without effect are left out.
std::vector<std::pair<std::string, std::string>> list_options(const MountOptions& options);

}  // namespace alignfs
