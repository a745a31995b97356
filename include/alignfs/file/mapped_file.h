#pragma once

#include "alignfs/file/buffered_file.h"
#include "alignfs/io/mapping.h"

namespace alignfs {

/// An open handle in mapped mode: bytes are read by a copy from the inode's one shared mapping, and
/// by pread where that cannot give them. Writes are those of buffered mode, into the pages that the
/// mapping shows. Thread-safe.
class MappedFile : public BufferedFile {
 public:
  /// `fd` as for BufferedFile. `mapper` is the mount's. The file is mapped when it is first read.
  static Result<std::unique_ptr<File>> open(const FileServices& services, Mapper& mapper,
                                            Inode& inode, std::shared_ptr<OpenInode> shared,
                                            UniqueFd fd);

 protected:
  Result<Filled> fill(const IoRequest& request, std::span<std::byte> into) override;

 private:
  MappedFile(const FileServices& services, Mapper& mapper, Inode& inode,
             std::shared_ptr<OpenInode> shared, UniqueFd fd);

  std::shared_ptr<const Mapping> mapping(std::uint64_t size, const Requester& requester);

  Mapper& mapper_;
  /// Opened without O_NOATIME.
  const bool counts_as_access_;
};

}  // namespace alignfs
