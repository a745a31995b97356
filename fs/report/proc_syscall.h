#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "alignfs/align/call.h"
#include "alignfs/file/observer.h"

namespace alignfs {

/// What /proc/TID/fdinfo tells of one descriptor of the caller.
struct DescriptorInfo {
  std::uint64_t position = 0;
  int flags = 0;  ///< as of open(2)
  /// Linux 5.14 and later.
  std::optional<std::uint64_t> inode;
};

/// What lies behind the numbers in /proc/TID/syscall: the caller's memory and descriptors.
class CallerState {
 public:
  virtual ~CallerState() = default;

  /// Copies `bytes_each` bytes from each of `addresses`, in order, to `into`. Returns 0 or an
  /// errno.
  virtual int read_memory(std::span<const std::uint64_t> addresses, std::size_t bytes_each,
                          void* into) const = 0;

  /// nullopt if the descriptor cannot be looked at.
  virtual std::optional<DescriptorInfo> descriptor(int fd) const = 0;
};

/// Segments of one vector that the kernel takes (UIO_MAXIOV), and iocbs looked at in one io_submit.
constexpr std::size_t kMaxSegments = 1024;

/// The call behind `fragment`, from the text of /proc/TID/syscall. Keeps no state.
CallView view_of_syscall(std::string_view text, const Fragment& fragment,
                         const CallerState& caller);

/// A view that tells no more than the fragment itself and why.
CallView unseen_view(const Fragment& fragment, std::string why);

// The pieces that io_submit shares with the other calls.

/// True if `call` reads or writes all of the fragment's bytes.
bool contains(const Call& call, const Fragment& fragment);

/// Fills segments and length of `call` from the iovec array at `address`. Returns why it could not,
/// or an empty string.
std::string read_vector(std::uint64_t address, std::uint64_t count, const CallerState& caller,
                        Call& call);

/// Finds the iocb behind `fragment` among the `count` pointers at `array` and fills `call` from it.
/// Returns why it could not, or an empty string.
std::string find_iocb(std::uint64_t count, std::uint64_t array, const Fragment& fragment,
                      const CallerState& caller, Call& call);

}  // namespace alignfs
