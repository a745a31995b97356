// Whatever is wrong with a command line: one line that names it, the right exit status, no mount.

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>

#include "mount/support/fixture.h"

namespace alignfs::test {
namespace {

class BadInput : public MountTest {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    source_ = std::make_unique<TempDir>();
    mountpoint_ = std::make_unique<TempDir>();
  }

  /// Runs alignfs and expects it to fail with `status` and one line that holds every one of
  /// `parts`.
  void expect_refusal(int status, const std::vector<std::string>& arguments,
                      const std::vector<std::string>& parts) const {
    std::vector<std::string> command = {alignfs_binary()};
    command.insert(command.end(), arguments.begin(), arguments.end());
    std::string shown;
    for (const std::string& word : command) shown += word + " ";
    const Outcome outcome = run(command, std::chrono::seconds(20));
    EXPECT_EQ(outcome.status, status) << shown << "\n" << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << shown << "\n"
                                                                           << outcome.err;
    EXPECT_TRUE(outcome.err.ends_with("\n")) << shown << "\n" << outcome.err;
    for (const std::string& part : parts) {
      EXPECT_NE(outcome.err.find(part), std::string::npos)
          << shown << "\nwithout " << part << ": " << outcome.err;
    }
    EXPECT_EQ(outcome.out, "") << shown;
    EXPECT_FALSE(is_mounted(mountpoint_->path())) << shown;
    if (is_mounted(mountpoint_->path())) unmount(mountpoint_->path());
  }

  std::vector<std::string> with_option(const std::string& option) const {
    return {"-o", option, source_->path(), mountpoint_->path()};
  }

  std::unique_ptr<TempDir> source_, mountpoint_;
};

struct WrongOption {
  const char* text;
  std::vector<std::string> named;
};

TEST_F(BadInput, WrongOptionsAreNamedWithTheValuesTheyTake) {
  const std::vector<WrongOption> list = {
      {"nonsense", {"nonsense"}},
      {"nonsense=1", {"nonsense"}},
      {"Mode=direct", {"Mode"}},
      {"mode=fast", {"mode", "fast", "direct"}},
      {"mode=", {"mode", "direct"}},
      {"mode", {"mode", "direct"}},
      {"unaligned=maybe", {"unaligned", "maybe", "bounce", "split", "reject"}},
      {"unaligned", {"unaligned", "bounce", "split", "reject"}},
      {"unaligned=reject,enforce=some", {"enforce", "some", "all", "odirect"}},
      {"align=1000", {"align", "1000", "power of two"}},
      {"align=0", {"align", "0"}},
      {"align=-4096", {"align", "-4096"}},
      {"align=4k5", {"align", "4k5"}},
      {"align=", {"align"}},
      {"align=99999999999999999999", {"align", "99999999999999999999"}},
      {"mem_align=3", {"mem_align", "3"}},
      {"mem_align=on", {"mem_align", "on", "off"}},
      {"threads=0", {"threads", "0"}},
      {"threads=many", {"threads", "many"}},
      {"threads=1000000", {"threads", "1000000"}},
      {"events=0", {"events", "0"}},
      {"events=-1", {"events", "-1"}},
      {"events=x", {"events", "x"}},
      {"control=maybe", {"control", "maybe", "on", "off"}},
      {"log_level=loud", {"log_level", "loud", "info"}},
      {"attr_timeout=soon", {"attr_timeout", "soon"}},
      {"attr_timeout=-1", {"attr_timeout", "-1"}},
      {"attr_timeout=nan", {"attr_timeout", "nan"}},
      {"entry_timeout=1s", {"entry_timeout", "1s"}},
      {"require_direct=yes", {"require_direct"}},
      {"dsync=1", {"dsync"}},
      {"allow_other=1", {"allow_other"}},
      {"ro,unaligned=x", {"unaligned", "x"}},
      {"unaligned=reject,,align=3", {"align", "3"}},
      {"mode=wrong", {"mode", "wrong", "direct", "mapped", "buffered"}},
      {"mode=", {"mode", "direct", "mapped", "buffered"}},
      {"mode", {"mode", "direct", "mapped", "buffered"}},
      {"mode=mapped,map_advice=wrong",
       {"map_advice", "wrong", "normal", "sequential", "random", "willneed"}},
      {"mode=mapped,map_advice", {"map_advice", "willneed"}},
      {"mode=mapped,map_populate=1", {"map_populate"}},
      {"mode=mapped,passthrough=1", {"passthrough"}},
  };
  for (const WrongOption& wrong : list) {
    expect_refusal(1, with_option(wrong.text), wrong.named);
  }
}

TEST_F(BadInput, OptionsOfOtherModesAreRefused) {
  expect_refusal(1, with_option("enforce=odirect"), {"enforce", "reject"});
  expect_refusal(1, with_option("unaligned=bounce,mem_align=512"), {"mem_align", "reject"});
  for (const std::string mode : {"mode=mapped", "mode=buffered"}) {
    expect_refusal(1, with_option(mode + ",unaligned=bounce"), {"unaligned", "mode=direct"});
    expect_refusal(1, with_option(mode + ",align=4096"), {"align", "mode=direct"});
    expect_refusal(1, with_option(mode + ",require_direct"), {"require_direct", "mode=direct"});
    expect_refusal(1, with_option(mode + ",enforce=odirect"), {"enforce", "unaligned=reject"});
    expect_refusal(1, with_option(mode + ",mem_align=512"), {"mem_align", "unaligned=reject"});
    expect_refusal(1, with_option(mode + ",passthrough,dsync"), {"dsync", "passthrough"});
  }
  for (const std::string mode : {"mode=direct", "mode=buffered"}) {
    expect_refusal(1, with_option(mode + ",map_advice=random"), {"map_advice", "mode=mapped"});
    expect_refusal(1, with_option(mode + ",map_populate"), {"map_populate", "mode=mapped"});
  }
  expect_refusal(1, with_option("passthrough"), {"passthrough", "mode=mapped", "mode=buffered"});
  expect_refusal(1, with_option("unaligned=reject,passthrough"), {"passthrough", "mode=mapped"});
}

TEST_F(BadInput, FinerAlignmentThanTheDisksIsRefused) {
  const Backing disk(LoopDisk::Shape{});
  expect_refusal(1, {"-o", "align=512", disk.path(), mountpoint_->path()},
                 {"align", "512", "4096"});
}

TEST_F(BadInput, WrongCommandLines) {
  expect_refusal(2, {}, {"SOURCE"});
  expect_refusal(2, {source_->path()}, {"MOUNTPOINT"});
  expect_refusal(2, {source_->path(), mountpoint_->path(), "more"}, {"3 arguments"});
  expect_refusal(2, {"-z", source_->path(), mountpoint_->path()}, {"z"});
  expect_refusal(2, {"--nonsense", source_->path(), mountpoint_->path()}, {"nonsense"});
  expect_refusal(2, {source_->path(), mountpoint_->path(), "-o"}, {"-o"});
}

TEST_F(BadInput, WrongSources) {
  const std::string mountpoint = mountpoint_->path();
  expect_refusal(1, {*source_ / "missing", mountpoint}, {*source_ / "missing"});
  write_file(*source_ / "file", "x");
  expect_refusal(1, {*source_ / "file", mountpoint}, {*source_ / "file", "directory"});
  expect_refusal(1, {"", mountpoint}, {"SOURCE"});
}

TEST_F(BadInput, WrongMountpoints) {
  const std::string source = source_->path();
  expect_refusal(1, {source, *mountpoint_ / "missing"}, {*mountpoint_ / "missing"});
  write_file(*mountpoint_ / "file", "x");
  expect_refusal(1, {source, *mountpoint_ / "file"}, {*mountpoint_ / "file", "directory"});
}

TEST_F(BadInput, SourceAndMountpointInsideEachOther) {
  const std::string inner = *source_ / "inner";
  ASSERT_EQ(mkdir(inner.c_str(), 0755), 0);
  expect_refusal(1, {source_->path(), inner}, {inner});
  EXPECT_FALSE(is_mounted(inner));
  expect_refusal(1, {inner, source_->path()}, {inner});
  EXPECT_FALSE(is_mounted(source_->path()));
  expect_refusal(1, {source_->path(), source_->path()}, {source_->path()});
  EXPECT_FALSE(is_mounted(source_->path()));
  // The same by another name.
  ASSERT_EQ(symlink(source_->path().c_str(), (*mountpoint_ / "link").c_str()), 0);
  expect_refusal(1, {*mountpoint_ / "link", inner}, {inner});
  EXPECT_FALSE(is_mounted(inner));
}

TEST_F(BadInput, BusyMountpoint) {
  const Mount mount(source_->path());
  const Outcome second = run({alignfs_binary(), source_->path(), mount.path()});
  EXPECT_EQ(second.status, 1) << second.err;
  EXPECT_EQ(std::count(second.err.begin(), second.err.end(), '\n'), 1) << second.err;
  EXPECT_NE(second.err.find(mount.path()), std::string::npos) << second.err;
  write_file(mount / "file", "the first mount still works");
  EXPECT_EQ(read_file(*source_ / "file"), "the first mount still works");
}

TEST_F(BadInput, MissingFuseDevice) {
  // A mount namespace of its own, in which the device is gone.
  const Outcome outcome = run({"unshare", "--mount", "--propagation", "private", "sh", "-c",
                               "mount -t tmpfs none /dev && exec \"$0\" \"$1\" \"$2\"",
                               alignfs_binary(), source_->path(), mountpoint_->path()});
  EXPECT_EQ(outcome.status, 1) << outcome.err;
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_NE(outcome.err.find("/dev/fuse"), std::string::npos) << outcome.err;
}

TEST_F(BadInput, MissingFusermount) {
  // A plain user with a device that may be opened, and a PATH on which nothing is.
  const TempDir device;
  const Outcome outcome = run(
      {"unshare", "--mount", "--propagation", "private", "sh", "-c",
       "mknod \"$0/fuse\" c 10 229 && chmod 666 \"$0/fuse\" && "
       "mount --bind \"$0/fuse\" /dev/fuse && "
       "exec setpriv --reuid 12345 --regid 12345 --clear-groups env PATH=/nowhere \"$1\" \"$2\" "
       "\"$3\"",
       device.path(), alignfs_binary(), source_->path(), mountpoint_->path()});
  EXPECT_EQ(outcome.status, 1) << outcome.err;
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_NE(outcome.err.find("fusermount3"), std::string::npos) << outcome.err;
}

TEST_F(BadInput, LogFileThatCannotBeWritten) {
  expect_refusal(1, with_option("log_file=" + (*source_ / "missing/log")), {"missing/log"});
}

TEST_F(BadInput, HelpAndVersionAreNoErrors) {
  for (const char* flag : {"-h", "-V"}) {
    const Outcome outcome = run({alignfs_binary(), flag});
    EXPECT_EQ(outcome.status, 0) << flag;
    EXPECT_NE(outcome.out.find("alignfs"), std::string::npos) << flag;
    EXPECT_EQ(outcome.err, "") << flag;
  }
}

}  // namespace
}  // namespace alignfs::test
