#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "mount/support/buffer.h"
#include "mount/support/bytes.h"
#include "mount/support/command.h"
#include "mount/support/fd.h"
#include "mount/support/mount.h"
#include "mount/support/observe.h"
#include "mount/support/scratch.h"

namespace alignfs::test {

/// True on a build server (the environment variable CI is set), where a test that cannot run fails.
bool on_ci();

/// Leaves the test unless `condition` holds: skipped on a laptop, failed on a build server.
#define ALIGNFS_REQUIRE(condition, reason)              \
  do {                                                  \
    if (!(condition)) {                                 \
      if (::alignfs::test::on_ci()) FAIL() << (reason); \
      GTEST_SKIP() << (reason);                         \
    }                                                   \
  } while (false)

/// Tests that mount something: for root alone, in a mount namespace of the process's own, so that
/// nothing stays mounted whatever happens to it.
class MountTest : public ::testing::Test {
 protected:
  void SetUp() override;
};

/// A backing directory for one test: a fresh directory on a disk that all tests of the process
/// share, made when first asked for.
class Backing {
 public:
  explicit Backing(const LoopDisk::Shape& shape);
  ~Backing();
  Backing(const Backing&) = delete;
  Backing& operator=(const Backing&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const LoopDisk& disk() const { return disk_; }

 private:
  LoopDisk& disk_;
  std::string path_;
};

/// What most mount tests stand on, for their fixtures to inherit: a backing and the mount over it,
/// both theirs to make.
class BackingAndMount {
 protected:
  std::string backing(const std::string& name) const { return *backing_ / name; }
  std::string mounted(const std::string& name) const { return *mount_ / name; }

  std::unique_ptr<Backing> backing_;
  std::unique_ptr<Mount> mount_;
};

}  // namespace alignfs::test
