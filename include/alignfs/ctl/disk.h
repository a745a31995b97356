#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace alignfs::ctl {

/// The block device under a file, as /sys/dev/block tells of it. Sizes are bytes, 0 where the
/// kernel does not say.
struct Disk {
  std::string name;          ///< "vda1"
  std::string partition_of;  ///< "vda"; empty where it is no partition
  std::uint32_t logical_block = 0;
  std::uint32_t physical_block = 0;
  std::uint32_t dma_alignment = 0;
  std::string backing_file;  ///< of a loop device
};

/// The device by number; where that is none of a disk (btrfs, overlay), the one that `source`, of
/// the mount, names. Nothing where there is no disk.
std::optional<Disk> find_disk(dev_t device, const std::string& source);

}  // namespace alignfs::ctl
