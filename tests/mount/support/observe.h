#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "mount/support/fd.h"
#include "mount/support/mount.h"

namespace alignfs::test {

/// A reader of MOUNTPOINT/.alignfs/events.
class Events {
 public:
  explicit Events(const std::string& mountpoint);

  /// Every event published since the last call (at first: that the ring holds), without waiting.
  std::vector<nlohmann::json> drain();

  /// drain(), dropping everything.
  void skip() { drain(); }

  /// Waits for an event that `wanted` accepts, dropping others; nullopt after `limit`.
  std::optional<nlohmann::json> wait_for(
      const std::function<bool(const nlohmann::json&)>& wanted,
      std::chrono::milliseconds limit = std::chrono::seconds(10));

  int fd() const { return fd_.get(); }

 private:
  Fd fd_;
  std::string rest_;
};

/// The samples of .alignfs/stats at one moment.
class Stats {
 public:
  explicit Stats(const std::string& mountpoint);

  /// Sum of the samples of `metric` whose labels include `operation` as op, over all outcomes.
  /// 0 where there are none.
  double sum(const std::string& metric, const std::string& operation) const;
  /// The same for one outcome.
  double value(const std::string& metric, const std::string& operation,
               const std::string& outcome) const;
  /// A sample without labels; throws where there is none.
  double gauge(const std::string& name) const { return samples_.at(name); }
  const std::map<std::string, double>& samples() const { return samples_; }

 private:
  std::map<std::string, double> samples_;  ///< by name with labels, as printed
};

/// True once `condition` holds; false if it does not within `limit`.
bool eventually(const std::function<bool()>& condition,
                std::chrono::milliseconds limit = kPatience);

/// getxattr() as a string; nullopt with errno set where it fails.
std::optional<std::string> get_xattr(const std::string& path, const std::string& name);

/// The explanation that belongs to `path`; "" if there is none.
std::string last_error(const std::string& path);

}  // namespace alignfs::test
