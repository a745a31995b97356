#pragma once

#include "alignfs/file/file.h"

namespace alignfs {

/// An open handle in buffered mode: plain pread and pwrite through the page cache of the backing,
/// the control group that the other modes are compared with. Thread-safe.
class BufferedFile : public File {
 public:
  /// `fd` is the backing file opened for what the program wants, and for reading too where the
  /// daemon may. It has O_APPEND only where the backing allows nothing else (append-only files).
  static Result<std::unique_ptr<File>> open(const FileServices& services, Inode& inode,
                                            std::shared_ptr<OpenInode> shared, UniqueFd fd);

  Task<Result<ReadData>> read(IoRequest request) final;
  Task<Result<std::size_t>> write(IoRequest request, std::span<const std::byte> data) final;
  bool takes_direct_io() const final;
  /// The inode's lock is held during a write through the page cache, though not while it is written
  /// out.
  bool writes_take_turns() const final { return services_.durability == Durability::none; }

 protected:
  BufferedFile(const FileServices& services, Inode& inode, std::shared_ptr<OpenInode> shared,
               UniqueFd fd)
      : File(services, inode, std::move(shared), std::move(fd)) {}

  /// Bytes that were read, and whether that took another way than the mode's own.
  struct Filled {
    std::size_t bytes = 0;
    bool fell_back = false;
  };
  virtual Result<Filled> fill(const IoRequest& request, std::span<std::byte> into);
};

}  // namespace alignfs
