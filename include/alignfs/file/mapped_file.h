#pragma once

#include "alignfs/file/buffered_file.h"
#include "alignfs/io/mapping.h"

namespace alignfs {

/// An open handle in mapped mode: bytes below the size move by a copy from or to the inode's one
/// shared mapping. The file grows by pwrite, which alone can say that there is no room; durable
/// writes, appends, and whatever the mapping cannot do go by pread and pwrite too, with their
/// errno. Thread-safe.
class MappedFile : public BufferedFile {
 public:
  /// `fd` as for BufferedFile. `mapper` is the mount's. The file is mapped when it is first read or
  /// written.
  static Result<std::unique_ptr<File>> open(const FileServices& services, Mapper& mapper,
                                            Inode& inode, std::shared_ptr<OpenInode> shared,
                                            UniqueFd fd);

 protected:
  Result<Moved> move_in(const IoRequest& request, std::span<std::byte> into) override;
  Result<Moved> move_out(const IoRequest& request, std::span<const std::byte> data) override;

 private:
  MappedFile(const FileServices& services, Mapper& mapper, Inode& inode,
             std::shared_ptr<OpenInode> shared, UniqueFd fd);

  /// The size of the backing file now; also told to the other handles.
  Result<std::uint64_t> look_at_size();
  std::shared_ptr<const Mapping> mapping(std::uint64_t size, bool writable,
                                         const Requester& requester);

  Mapper& mapper_;
  /// The descriptor and the filesystem allow stores through a mapping.
  bool may_store_ = false;
};

}  // namespace alignfs
