#include "mount/support/scratch.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "mount/support/command.h"

namespace alignfs::test {

namespace {

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> list;
  for (std::string word; stream >> word;) list.push_back(word);
  return list;
}

/// Attaches `image`, retrying: another process may take the free device that losetup found.
std::string attach(const std::string& image, unsigned sector) {
  const std::vector<std::string> command = {"losetup", "--sector-size", std::to_string(sector),
                                            "--find",  "--show",        "--direct-io=off",
                                            image};
  Outcome outcome;
  for (int attempt = 0; attempt < 20; ++attempt) {
    outcome = run(command);
    if (outcome.status == 0) return words(outcome.out).at(0);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  throw std::runtime_error("losetup failed: " + outcome.err);
}

void make_filesystem(const std::string& device, const LoopDisk::Shape& shape) {
  std::vector<std::string> command = {"mkfs." + shape.filesystem, "-q"};
  command.push_back(shape.filesystem == "ext4" ? "-F" : "-f");
  for (const std::string& word : words(shape.mkfs_options)) command.push_back(word);
  command.push_back(device);
  run_checked(command);
}

}  // namespace

TempDir::TempDir(const std::string& parent) : path_(parent + "/alignfs-test-XXXXXX") {
  if (mkdtemp(path_.data()) == nullptr || chmod(path_.c_str(), 0755) != 0) {
    throw std::system_error(errno, std::generic_category(), "mkdtemp " + path_);
  }
}

TempDir::~TempDir() {
  // Never descend into what is still mounted: the files there are not ours to delete.
  if (is_mounted(path_)) unmount(path_);
  std::error_code error;
  std::filesystem::remove_all(path_, error);
  if (error) ADD_FAILURE() << "cannot remove " << path_ << ": " << error.message();
}

bool is_mounted(const std::string& path) {
  std::ifstream table("/proc/self/mountinfo");
  for (std::string line; std::getline(table, line);) {
    std::istringstream fields(line);
    std::string field;
    for (int i = 0; i < 5; ++i) fields >> field;
    if (field == path) return true;
  }
  return false;
}

bool unmount(const std::string& path) {
  for (int attempt = 0; attempt < 100; ++attempt) {
    if (umount2(path.c_str(), 0) == 0 || errno == EINVAL || errno == ENOENT) return true;
    if (errno != EBUSY) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  umount2(path.c_str(), MNT_DETACH);
  return false;
}

TmpfsDir::TmpfsDir(const std::string& options) {
  if (mount("tmpfs", path().c_str(), "tmpfs", 0, options.c_str()) != 0) {
    throw std::system_error(errno, std::generic_category(), "mount tmpfs");
  }
  chmod(path().c_str(), 0755);
}

TmpfsDir::~TmpfsDir() { EXPECT_TRUE(unmount(path())) << path() << " stayed busy"; }

LoopDisk::LoopDisk(const Shape& shape) : shape_(shape) {
  TempDir storage("/dev/shm");
  const std::string image = storage / "disk";
  write_file(image, "");
  if (truncate(image.c_str(), static_cast<off_t>(shape.megabytes) << 20) != 0) {
    throw std::system_error(errno, std::generic_category(), "truncate " + image);
  }
  const std::string node = attach(image, shape.sector);
  device_ = node.substr(std::string("/dev/").size());
  try {
    make_filesystem(node, shape);
    mount_device();
  } catch (...) {
    run({"losetup", "--detach", node});
    throw;
  }
  // A busy device is detached by its last user: the disk goes away with the mount, and the image,
  // which has no name any more, with the disk, even if this process is killed.
  run_checked({"losetup", "--detach", node});
}

void LoopDisk::mount_device() const {
  std::vector<std::string> command = {"mount", "-t", shape_.filesystem};
  if (!shape_.mount_options.empty()) {
    command.insert(command.end(), {"-o", shape_.mount_options});
  }
  command.insert(command.end(), {"/dev/" + device_, path()});
  run_checked(command);
}

void LoopDisk::remount() {
  // Keeps the device, which would otherwise go with its last user.
  const Fd device = open_file("/dev/" + device_, O_RDONLY);
  if (!unmount(path())) throw std::runtime_error(path() + " stayed busy");
  mount_device();
}

LoopDisk::~LoopDisk() { EXPECT_TRUE(unmount(path())) << path() << " stayed busy"; }

unsigned long long LoopDisk::flushes() const {
  std::ifstream file("/sys/block/" + device_ + "/stat");
  unsigned long long value = 0;
  // Field 16 counts flush requests (Documentation/block/stat.rst).
  for (int field = 1; field <= 16; ++field) file >> value;
  if (!file) throw std::runtime_error("no flush counter in /sys/block/" + device_ + "/stat");
  return value;
}

}  // namespace alignfs::test
