#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "alignfs/file/observer.h"
#include "alignfs/report/event_ring.h"
#include "alignfs/report/last_errors.h"

namespace alignfs {

struct ReporterOptions {
  /// Events the ring keeps: -o events=.
  std::size_t events = 1024;
  /// Absolute path of SOURCE without a trailing slash: taken off backing paths.
  std::string source;
  /// Refusals also go to the terminal of the program that was refused: -o report=log+tty.
  bool terminals = false;
};

/// Turns what the file floor tells into events, log lines and last errors. Thread-safe.
///
/// Refusals and fallbacks are logged as warnings, adapted requests at debug level; the log prints
/// one event of a kind a second, with the count of what it left out.
class Reporter : public RequestObserver {
 public:
  explicit Reporter(ReporterOptions options);
  ~Reporter() override;

  CallView observe(const Fragment& fragment) override;
  void judged(Action action, const Fragment& fragment, const CallView& view, const Rules& rules,
              const Diagnosis& diagnosis) override;
  void adapted(Action action, const Fragment& fragment, const Rules& rules) override;
  void fallback(Fallback reason, const Fragment& opened, const Rules& rules) override;

  void served(const Fragment& fragment, const Served& served) override;

  /// Who reads and writes what, as Activity::look() tells it.
  std::string activity();

  EventRing& ring();
  const LastErrors& last_errors() const;
  /// A file was made: what was told of an earlier one with its inode number is not its own.
  void forget_errors(const FileId& file);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The name of the block device `device`, as "vda" or "loop0"; "" if it is none (tmpfs, btrfs).
std::string device_name(dev_t device);

}  // namespace alignfs
