#include "mount/support/fixture.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <system_error>

namespace alignfs::test {

namespace {

using Key = std::string;

/// Disks shared by the tests of this process; unmounted when the last test has run.
std::map<Key, std::unique_ptr<LoopDisk>>& disks() {
  static std::map<Key, std::unique_ptr<LoopDisk>> map;
  return map;
}

LoopDisk& shared_disk(const LoopDisk::Shape& shape) {
  const Key key = std::to_string(shape.sector) + " " + shape.filesystem + " " + shape.mkfs_options +
                  " " + shape.mount_options + " " + std::to_string(shape.megabytes);
  std::unique_ptr<LoopDisk>& disk = disks()[key];
  if (!disk) disk = std::make_unique<LoopDisk>(shape);
  return *disk;
}

/// Mounts are seen by this process and its children alone, and end with the last of them.
class OwnMounts : public ::testing::Environment {
 public:
  void SetUp() override {
    umask(022);
    if (geteuid() != 0) return;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr)) {
      throw std::system_error(errno, std::generic_category(), "private mount namespace");
    }
  }
  void TearDown() override { disks().clear(); }
};

const ::testing::Environment* const own_mounts = ::testing::AddGlobalTestEnvironment(new OwnMounts);

}  // namespace

bool on_ci() { return std::getenv("CI") != nullptr; }

void MountTest::SetUp() { ALIGNFS_REQUIRE(geteuid() == 0, "needs root: mounts and loop devices"); }

Backing::Backing(const LoopDisk::Shape& shape) : disk_(shared_disk(shape)) {
  static unsigned number = 0;
  path_ = disk_ / std::to_string(++number);
  if (mkdir(path_.c_str(), 0755) != 0) {
    throw std::system_error(errno, std::generic_category(), "mkdir " + path_);
  }
}

Backing::~Backing() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

}  // namespace alignfs::test
