#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "alignfs/align/plan.h"
#include "alignfs/file/file.h"

namespace alignfs {

/// What direct mode is told once a mount, and uses for every file. Constant while mounted.
struct DirectMode {
  /// Refuse what O_DIRECT would refuse, of everybody or of O_DIRECT callers alone; or let it
  /// through and report that, and nothing else.
  bool strict = false;
  bool audit = false;
  bool only_odirect = false;
  /// Reads come from the disk, even where it would have to be written first.
  bool require_direct = false;
  /// What becomes of requests that are let through all the same.
  UnalignedPolicy policy = UnalignedPolicy::bounce;
  AlignmentOptions alignment;
  VectorRule vector = VectorRule::memory;

  /// Bytes of a bounce buffer: the largest request plus a block on either side.
  static constexpr std::size_t buffer_size(std::size_t max_request) {
    return max_request + 2 * 64 * 1024;
  }
};

/// An open handle in direct mode: backing I/O with O_DIRECT whatever the program opened with.
///
/// Holds two descriptors: the direct one, and a buffered sibling opened when first needed.
/// Thread-safe.
class DirectFile : public File {
 public:
  /// `fd` is the backing file opened without O_DIRECT, O_RDWR where the program writes and the
  /// daemon may read, and becomes the direct descriptor. It has O_APPEND only where the backing
  /// allows nothing else (append-only files); Linux ignores the offsets of writes then.
  static Result<std::unique_ptr<File>> open(const FileServices& services, const DirectMode& mode,
                                            Inode& inode, std::shared_ptr<OpenInode> shared,
                                            UniqueFd fd, const Requester& opener);

  /// EINVAL if refused.
  Task<Result<ReadData>> read(IoRequest request) override;

  /// `data` goes down without a copy if it lies on a page boundary and the request is aligned.
  /// EINVAL if refused, and then nothing is written.
  Task<Result<std::size_t>> write(IoRequest request, std::span<const std::byte> data) override;

  /// Aligned requests that no strict mount has to look at.
  bool leaves_thread(Direction direction, std::uint64_t offset,
                     std::uint64_t length) const override;

  /// With the errors of both descriptors.
  Status sync(bool data_only) override;
  Status flush() override;

  bool takes_direct_io() const override { return geometry_.verdict != Verdict::refused; }

 private:
  DirectFile(const FileServices& services, const DirectMode& mode, Inode& inode,
             std::shared_ptr<OpenInode> shared, UniqueFd fd)
      : File(services, inode, std::move(shared), std::move(fd)), mode_(mode) {}

  Status judge(const IoRequest& request, Direction direction);

  /// Where the bytes of a read come from: those of `disk` by O_DIRECT, and those of `cache`, which
  /// begins where it ends, through the page cache of the backing. `plan` covers both.
  struct ReadSources {
    ReadPlan plan;
    Range disk;
    Range cache;
    int cache_fd = -1;
  };
  ReadSources sources_of(const ReadPlan& plan, std::uint64_t offset);

  /// One step of a write plan, or one plan after the other: bytes written, and in `traffic` what
  /// the backing saw of it.
  struct WriteStep {
    Range range;
    std::span<const std::byte> data;
    Durability durability = Durability::none;
    Place place = Place::at_offset;
    /// Room for the whole write with a block on either side, one step after the other.
    std::byte* bounce = nullptr;
    Counters::Cell& traffic;
  };
  /// A request on block boundaries, which goes down whole wherever the file ends.
  Task<Result<std::size_t>> write_aligned(const IoRequest& request, std::span<const std::byte> data,
                                          std::byte* bounce, Account& account);
  bool fits_direct_io(std::span<const std::byte> data) const;
  /// `data` as it lies if it fits, else a copy at `bounce`.
  std::span<const std::byte> in_fitting_memory(std::span<const std::byte> data,
                                               std::byte* bounce) const;
  Result<std::size_t> carry_out(const WritePlan& plan, const WriteStep& whole);
  Result<std::size_t> write_direct(const WriteStep& step);
  Result<std::size_t> read_modify_write(const WriteStep& step);
  Result<std::size_t> write_ragged_ends_buffered(const WriteStep& step);
  Result<std::size_t> write_buffered(const WriteStep& step);
  bool read_ragged_blocks(const WriteStep& step, Range window, std::byte* into);
  bool ragged_blocks_cached(const WriteStep& step, Range window) const;

  /// The request ended in this way, and its traffic is known.
  void close(Account& account, Outcome outcome) const;

  /// The buffered descriptor, opened if it was not, or -1 where the backing's permissions forbid a
  /// second open. Stays open as long as the handle.
  int sibling();
  /// -1 where nobody has needed it.
  int sibling_if_open();

  const DirectMode& mode_;
  Geometry geometry_;
  /// Boundary that the memory of backing I/O must keep.
  std::uint32_t memory_boundary_ = 1;
  int reopen_flags_ = 0;  ///< O_ACCMODE, O_APPEND and O_NOATIME of fd()
  std::mutex sibling_mutex_;
  UniqueFd sibling_;
  bool sibling_forbidden_ = false;
};

}  // namespace alignfs
