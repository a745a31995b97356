#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <string>
#include <vector>

#include "mount/support/buffer.h"

namespace alignfs::test {

/// The ways a program reads and writes.
enum class Op {
  read,
  write,
  pread,
  pwrite,
  readv,
  writev,
  preadv,
  pwritev,
  preadv2,
  pwritev2,
  submit_read,
  submit_write,
  submit_readv,
  submit_writev,
};

/// The system call's name, "pread64".
const char* syscall_name(Op op);
bool is_write(Op op);
bool is_vector(Op op);

/// One buffer of a call: how far past a page boundary it starts, and its bytes.
struct Part {
  std::size_t excess = 0;
  std::size_t length = 0;
};

/// A call without its file. More than one part for vectors only.
struct CallShape {
  Op op = Op::pread;
  std::uint64_t offset = 0;
  std::vector<Part> parts;

  std::uint64_t length() const;
  std::string describe() const;
};

struct CallResult {
  std::int64_t result = 0;  ///< as the system call's wrapper has it: -1 on error
  int error = 0;            ///< errno, 0 on success
  bool operator==(const CallResult&) const = default;
};

/// Makes calls from buffers of its own. Not thread-safe.
class CallMaker {
 public:
  static constexpr std::size_t kMaxParts = 8;
  static constexpr std::size_t kSlot = 64 << 10;  ///< bytes for each part, its excess included

  CallMaker();
  ~CallMaker();
  CallMaker(const CallMaker&) = delete;
  CallMaker& operator=(const CallMaker&) = delete;

  CallResult make(int fd, const CallShape& shape);

  /// Where the parts of `shape` lie.
  std::vector<iovec> segments(const CallShape& shape) const;
  /// The bytes of the parts, joined; fill() spreads them.
  std::string gather(const CallShape& shape) const;
  void fill(const CallShape& shape, const std::string& bytes);

 private:
  CallResult submit(int fd, const CallShape& shape, const std::vector<iovec>& list);

  AlignedBuffer arena_;
  unsigned long aio_ = 0;
};

/// What O_DIRECT asks of a call, told by the test independently of the daemon.
struct Boundary {
  std::uint64_t memory = 512;
  std::uint64_t block = 4096;
};

/// What a bare disk does with the rest of a read beyond the block that holds the end of file: it is
/// dropped before the request is judged. Returns the part of `list` that is left; all of it for a
/// write.
std::vector<iovec> judged_part(const std::vector<iovec>& list, const CallShape& shape,
                               std::uint64_t file_size, const Boundary& boundary);

/// The rules a call breaks, in the order of the event's list: "memory", "offset", "length". Vector
/// segments follow the rule of Linux 6.18.
std::vector<std::string> broken_rules(const std::vector<iovec>& list, std::uint64_t offset,
                                      const Boundary& boundary);

}  // namespace alignfs::test
