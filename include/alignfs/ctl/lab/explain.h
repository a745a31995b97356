#pragma once

#include <optional>
#include <string>

#include "alignfs/align/diagnosis.h"
#include "alignfs/align/geometry.h"
#include "alignfs/ctl/lab/below.h"
#include "alignfs/ctl/lab/file.h"
#include "alignfs/ctl/mounts.h"

namespace alignfs::ctl::lab {

/// Says why requests on one file are refused: on a mount in the daemon's words, elsewhere by the
/// same code from what the kernel states of the file. Not thread-safe.
class Explainer {
 public:
  /// CommandError where the file cannot be asked.
  explicit Explainer(const std::string& path);

  /// The explanation of a refusal that has just happened: empty where no rule of alignment explains
  /// it. `below` is what is known of the request.
  std::string explain(const Outcome& outcome, Direction direction, const Below& below) const;

  /// Why the request that `below` tells of was bounced or split: empty if it was not, and where the
  /// mount has no explanation to give.
  std::string adapted(const Below& below) const;
  /// What the mount remembers as the last refusal of this file.
  std::string last_error() const;

  /// Boundary of offsets and lengths, in bytes; 1 where any will do.
  std::uint32_t block() const { return block_; }
  /// The kernel maps the backing file for programs on the mount; false where that is not known.
  bool maps_are_of_the_backing() const { return maps_backing_; }
  bool on_mount() const { return mount_.has_value(); }
  /// Nothing vouches for direct I/O here: misaligned requests pass.
  bool unproven() const { return verdict_ == Verdict::unproven; }

 private:
  std::string path_;
  std::optional<AlignfsMount> mount_;
  bool maps_backing_ = false;
  std::uint32_t block_ = 1;
  Verdict verdict_ = Verdict::native;
  Geometry geometry_;  ///< off a mount
  VectorRule vector_rule_ = VectorRule::memory;
};

/// "memory, length": the rules that an explanation names as broken.
std::string broken_rules_in(const std::string& explanation);
/// Its lines that name them.
std::string rules_of(const std::string& explanation);

}  // namespace alignfs::ctl::lab
