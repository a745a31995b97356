#pragma once

#include <string>

#include "alignfs/align/diagnosis.h"
#include "alignfs/align/geometry.h"
#include "alignfs/ctl/lab/below.h"
#include "alignfs/ctl/lab/file.h"

namespace alignfs::ctl::lab {

/// Says why requests on one file are refused: on a mount in the daemon's words, elsewhere by the
/// same code from what the kernel states of the file. Not thread-safe.
class Explainer {
 public:
  /// CommandError where the file cannot be asked.
  explicit Explainer(const std::string& path);

  /// To be called before a request is made that may have to be explained.
  void start();
  /// The explanation of a refusal that has just happened: empty where no rule of alignment explains
  /// it. `below` is what is known of the request.
  std::string explain(const Outcome& outcome, Direction direction, const Below& below) const;

  /// The newest explanation of a request of this process since start() that was bounced or split;
  /// empty off a mount, and for who does not own it.
  std::string newest_event() const;
  /// What the mount remembers as the last refusal of this file.
  std::string last_error() const;

  /// Boundary of offsets and lengths, in bytes; 1 where any will do.
  std::uint32_t block() const { return block_; }
  /// The kernel maps the backing file for programs on the mount; false where that is not known.
  bool maps_are_of_the_backing() const { return maps_backing_; }
  bool on_mount() const { return on_mount_; }
  /// Nothing vouches for direct I/O here: misaligned requests pass.
  bool unproven() const { return verdict_ == Verdict::unproven; }

 private:
  std::string path_;
  bool on_mount_ = false;
  bool maps_backing_ = false;
  std::uint32_t block_ = 1;
  Verdict verdict_ = Verdict::native;
  Geometry geometry_;  ///< off a mount
  VectorRule vector_rule_ = VectorRule::memory;
  std::uint64_t events_before_ = 0;  ///< on a mount
};

/// "memory, length": the rules that an explanation names as broken.
std::string broken_rules_in(const std::string& explanation);
/// Its lines that name them.
std::string rules_of(const std::string& explanation);

}  // namespace alignfs::ctl::lab
