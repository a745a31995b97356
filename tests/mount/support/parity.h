#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "mount/support/fd.h"
#include "mount/support/modes.h"

namespace alignfs::test {

/// One side of a comparison: a directory on the mount or a plain one, and a record of everything
/// that calls made there gave back. Not thread-safe.
class Probe {
 public:
  /// `direct` opens files for data with O_DIRECT, which a strict mount asks for.
  Probe(int directory, bool direct) : directory_(directory), direct_(direct) {}

  int dir() const { return directory_; }
  /// Records `what` with the result of a call, or with errno if it is negative. Returns the result.
  long note(const std::string& what, long result);
  /// Records a text.
  void note_text(const std::string& what, const std::string& text);

  /// openat(), recorded without the descriptor's number.
  Fd open(const std::string& name, int flags, mode_t mode = 0644);
  /// open() for reading and writing data: with O_DIRECT on both sides if the mount is strict.
  Fd open_data(const std::string& name, int flags = O_RDWR);
  /// Records type, mode, links, size, owner and device of `name`, itself and not what it points to.
  void status(const std::string& name);
  void status_of(const Fd& fd);
  /// Writes `length` bytes of pattern `seed` from a page-aligned buffer.
  void pwrite(const Fd& fd, off_t offset, std::size_t length, unsigned seed);
  /// Reads into a page-aligned buffer and records the bytes by a checksum.
  void pread(const Fd& fd, off_t offset, std::size_t length);

  const std::vector<std::string>& record() const { return record_; }

 private:
  int directory_;
  bool direct_;
  std::vector<std::string> record_;
};

/// A few calls to be compared, made by `uid` (with the gid of the same number) in a directory that
/// holds what populate() puts there.
struct ParityCase {
  std::string name;
  std::function<void(Probe&)> run;
  uid_t uid = 0;
};

/// Runs every case on a mount in `mode` over an ext4 disk and in a plain directory of the
/// same disk, and fails where results, errnos or what is left in the directory differ. Takes the
/// calling test's root rights for granted.
void compare(const std::vector<ParityCase>& cases, const Mode& mode);

/// Makes the names the cases work on, below the directory `dir`:
/// file (5000 bytes), other (100 bytes), empty, hard (a second name of file), dir, full (holds
/// "below"), link (to file), dirlink (to full), dangling, fifo, socket.
void populate(int dir);

/// Every name that populate() makes, and some that it does not.
const std::vector<std::string>& names();

}  // namespace alignfs::test
