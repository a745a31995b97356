#include "alignfs/ctl/disk.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <filesystem>
#include <fstream>

namespace alignfs::ctl {
namespace {

namespace fs = std::filesystem;

std::uint32_t number_in(const fs::path& file) {
  std::uint32_t number = 0;
  std::ifstream(file) >> number;
  return number;
}

std::string line_of(const fs::path& file) {
  std::string line;
  std::ifstream stream(file);
  std::getline(stream, line);
  return line;
}

/// The device's folder below /sys/devices, or empty.
fs::path folder_of(dev_t device) {
  std::error_code none;
  return fs::canonical(fmt::format("/sys/dev/block/{}:{}", major(device), minor(device)), none);
}

}  // namespace

std::optional<Disk> find_disk(dev_t device, const std::string& source) {
  auto folder = folder_of(device);
  struct stat facts {};
  if (folder.empty() && ::stat(source.c_str(), &facts) == 0 && S_ISBLK(facts.st_mode)) {
    folder = folder_of(facts.st_rdev);
  }
  if (folder.empty()) return std::nullopt;
  Disk disk;
  disk.name = folder.filename();
  std::error_code none;
  const bool partition = fs::exists(folder / "partition", none);
  const auto whole = partition ? folder.parent_path() : folder;
  if (partition) disk.partition_of = whole.filename();
  disk.logical_block = number_in(whole / "queue/logical_block_size");
  disk.physical_block = number_in(whole / "queue/physical_block_size");
  // The kernel states the mask.
  if (const auto mask = number_in(whole / "queue/dma_alignment")) disk.dma_alignment = mask + 1;
  disk.backing_file = line_of(whole / "loop/backing_file");
  return disk;
}

}  // namespace alignfs::ctl
