#include "alignfs/base/options.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace alignfs {
namespace {

using Mode = MountOptions::Mode;
using Unaligned = MountOptions::Unaligned;

MountOptions parsed(const std::vector<std::string>& arguments) {
  auto result = parse_mount_options(arguments);
  EXPECT_EQ(result.complaint, "");
  return result.options;
}

std::string complaint(const std::string& argument) {
  return parse_mount_options({argument}).complaint;
}

TEST(Options, DefaultsAreThoseOfTheContract) {
  const auto options = parsed({});
  EXPECT_EQ(options.mode, Mode::direct);
  EXPECT_EQ(options.unaligned, Unaligned::bounce);
  EXPECT_EQ(options.enforce, MountOptions::Enforce::all);
  EXPECT_FALSE(options.alignment.block);
  EXPECT_FALSE(options.alignment.memory);
  EXPECT_FALSE(options.require_direct);
  EXPECT_EQ(options.map_advice, MapAdvice::normal);
  EXPECT_FALSE(options.map_populate);
  EXPECT_FALSE(options.passthrough);
  EXPECT_FALSE(options.dsync);
  EXPECT_EQ(options.events, 1024U);
  EXPECT_TRUE(options.control);
  EXPECT_EQ(options.attr_timeout, 1.0);
  EXPECT_EQ(options.engine, MountOptions::Engine::automatic);
  EXPECT_EQ(options.poll.count(), 50);
  EXPECT_FALSE(options.max_request);
}

TEST(Options, EveryValueIsTaken) {
  const auto options = parsed({"unaligned=reject,enforce=odirect,align=4096,mem_align=64",
                               "require_direct,dsync,threads=3,events=7,control=off",
                               "log_level=debug,log_file=/tmp/x,attr_timeout=0.5,entry_timeout=0"});
  EXPECT_EQ(options.unaligned, Unaligned::reject);
  EXPECT_TRUE(options.is_strict());
  EXPECT_TRUE(parsed({"unaligned=audit,mem_align=64,enforce=odirect"}).is_strict());
  EXPECT_FALSE(parsed({"unaligned=split"}).is_strict());
  EXPECT_EQ(options.enforce, MountOptions::Enforce::odirect);
  EXPECT_EQ(options.alignment.block, 4096U);
  EXPECT_EQ(options.alignment.memory, 64U);
  EXPECT_TRUE(options.require_direct);
  EXPECT_TRUE(options.dsync);
  EXPECT_EQ(options.threads, 3U);
  EXPECT_EQ(options.events, 7U);
  EXPECT_FALSE(options.control);
  EXPECT_EQ(options.log_level, "debug");
  EXPECT_EQ(options.log_file, "/tmp/x");
  EXPECT_EQ(options.attr_timeout, 0.5);
  EXPECT_EQ(options.entry_timeout, 0.0);
  EXPECT_EQ(parsed({"max_request=1048576"}).max_request, 1048576U);
  EXPECT_FALSE(parsed({"max_request=1048576,max_request=auto"}).max_request);
}

TEST(Options, EveryEngineIsTaken) {
  using Engine = MountOptions::Engine;
  EXPECT_EQ(parsed({"engine=uring,poll=0"}).engine, Engine::uring);
  EXPECT_EQ(parsed({"engine=uring,poll=0"}).poll.count(), 0);
  EXPECT_EQ(parsed({"engine=threads"}).engine, Engine::threads);
  EXPECT_EQ(parsed({"engine=threads,engine=auto,poll=1000"}).engine, Engine::automatic);
}

TEST(Options, ThatProcessorsAreSharedCanBeLeftOut) {
  EXPECT_TRUE(parsed({}).share_processor);
  EXPECT_FALSE(parsed({"share_processor=off"}).share_processor);
  EXPECT_TRUE(parsed({"share_processor=off,share_processor=on"}).share_processor);
}

TEST(Options, RequestsByIoUringAreAChoice) {
  using FuseUring = MountOptions::FuseUring;
  EXPECT_EQ(parsed({}).fuse_uring, FuseUring::automatic);
  EXPECT_EQ(parsed({"fuse_uring=on"}).fuse_uring, FuseUring::on);
  EXPECT_EQ(parsed({"engine=uring,fuse_uring=on,fuse_uring=off"}).fuse_uring, FuseUring::off);
  EXPECT_EQ(parsed({"fuse_uring=off,fuse_uring=auto"}).fuse_uring, FuseUring::automatic);
}

TEST(Options, WhoIsToldHowLongToLookForRequestsReadsTheDevice) {
  using FuseUring = MountOptions::FuseUring;
  EXPECT_EQ(parsed({"mode=mapped,poll=50"}).fuse_uring, FuseUring::off);
  EXPECT_EQ(parsed({"poll=50,mode=mapped,fuse_uring=auto"}).fuse_uring, FuseUring::off);
}

TEST(Options, EveryModeIsTakenWithWhatItUses) {
  EXPECT_EQ(parsed({"mode=direct"}).mode, Mode::direct);
  EXPECT_EQ(parsed({"mode=buffered,dsync"}).mode, Mode::buffered);
  EXPECT_TRUE(parsed({"mode=buffered,passthrough"}).passthrough);
  const auto mapped = parsed({"mode=mapped,map_advice=random,map_populate,passthrough"});
  EXPECT_EQ(mapped.mode, Mode::mapped);
  EXPECT_EQ(mapped.map_advice, MapAdvice::random);
  EXPECT_TRUE(mapped.map_populate);
  EXPECT_TRUE(mapped.passthrough);
  EXPECT_EQ(parsed({"mode=mapped,map_advice=normal"}).map_advice, MapAdvice::normal);
  EXPECT_EQ(parsed({"mode=mapped,map_advice=sequential"}).map_advice, MapAdvice::sequential);
  EXPECT_EQ(parsed({"mode=mapped,map_advice=willneed"}).map_advice, MapAdvice::willneed);
}

TEST(Options, AModeMayComeBehindWhatItUses) {
  EXPECT_TRUE(parsed({"map_populate", "passthrough", "mode=mapped"}).map_populate);
  EXPECT_EQ(parsed({"mode=mapped", "unaligned=split", "mode=direct"}).unaligned, Unaligned::split);
}

TEST(Options, MemAlignOffIsNotAuto) {
  EXPECT_EQ(parsed({"unaligned=reject,mem_align=off"}).alignment.memory, 0U);
  EXPECT_FALSE(parsed({"unaligned=reject,mem_align=off,mem_align=auto"}).alignment.memory);
}

TEST(Options, LaterValuesWin) {
  EXPECT_EQ(parsed({"unaligned=split", "unaligned=bounce"}).unaligned, Unaligned::bounce);
  EXPECT_FALSE(parsed({"align=512,align=auto"}).alignment.block);
  const auto options = parsed({"ro,rw"});
  EXPECT_FALSE(options.read_only);
  EXPECT_TRUE(options.fuse.empty());
}

TEST(Options, ABackslashKeepsAComma) {
  EXPECT_EQ(parsed({"log_file=/tmp/a\\,b,dsync"}).log_file, "/tmp/a,b");
}

TEST(Options, WordsOfFstabMeanNothing) {
  EXPECT_TRUE(parsed({"rw,noauto,user,_netdev,nofail,x-systemd.automount,comment=hi,defaults"})
                  .fuse.empty());
}

TEST(Options, FuseOptionsPassThrough) {
  const auto options = parsed({"allow_other,noexec,ro,fsname=disk"});
  EXPECT_TRUE(options.read_only);
  const std::vector<std::string> expected = {"allow_other", "noexec", "ro", "fsname=disk"};
  EXPECT_EQ(options.fuse, expected);
}

TEST(Options, AccessTimesAreKeptWhereTheLastOptionSaysSo) {
  EXPECT_FALSE(parsed({}).keeps_atime());
  EXPECT_TRUE(parsed({"noatime"}).keeps_atime());
  EXPECT_FALSE(parsed({"noatime,atime"}).keeps_atime());
  EXPECT_TRUE(parsed({"atime,ro"}).keeps_atime());
  EXPECT_FALSE(parsed({"ro,rw"}).keeps_atime());
  EXPECT_EQ(parsed({"noatime"}).fuse, std::vector<std::string>{"noatime"});
  EXPECT_TRUE(parsed({"noatime,atime"}).fuse.empty());
}

struct Wrong {
  const char* option;
  const char* named;
  const char* told;
};

class WrongOption : public testing::TestWithParam<Wrong> {};

TEST_P(WrongOption, IsNamedInOneLineWithWhatItTakes) {
  const auto line = complaint(GetParam().option);
  EXPECT_NE(line.find(GetParam().named), std::string::npos) << line;
  EXPECT_NE(line.find(GetParam().told), std::string::npos) << line;
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 0) << line;
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongOption,
    testing::Values(
        Wrong{"frobnicate", "frobnicate", "unknown"},
        Wrong{"mode=mmap", "mmap", "direct, mapped or buffered"},
        Wrong{"mode=", "mode", "direct, mapped or buffered"},
        Wrong{"mode", "mode", "needs a value: direct, mapped or buffered"},
        Wrong{"mode=mapped,map_advice=often", "often", "normal, sequential, random or willneed"},
        Wrong{"mode=mapped,map_advice", "map_advice", "needs a value: normal"},
        Wrong{"mode=mapped,map_populate=1", "map_populate", "takes no value"},
        Wrong{"mode=mapped,passthrough=on", "passthrough", "takes no value"},
        Wrong{"mode=mapped,unaligned=bounce", "unaligned", "mode=direct"},
        Wrong{"mode=buffered,unaligned=reject", "unaligned", "mode=direct"},
        Wrong{"mode=mapped,align=4096", "align", "mode=direct"},
        Wrong{"mode=buffered,require_direct", "require_direct", "mode=direct"},
        Wrong{"mode=mapped,mem_align=512", "mem_align", "unaligned=reject"},
        Wrong{"mode=mapped,enforce=all", "enforce", "unaligned=reject"},
        Wrong{"map_advice=random", "map_advice", "mode=mapped"},
        Wrong{"mode=buffered,map_advice=normal", "map_advice", "mode=mapped"},
        Wrong{"mode=buffered,map_populate", "map_populate", "mode=mapped"},
        Wrong{"mode=mapped,map_populate,mode=direct", "map_populate", "mode=mapped"},
        Wrong{"passthrough", "passthrough", "mode=mapped or mode=buffered"},
        Wrong{"unaligned=reject,passthrough", "passthrough", "mode=mapped or mode=buffered"},
        Wrong{"mode=mapped,passthrough,dsync", "dsync", "passthrough"},
        Wrong{"mode=buffered,dsync,passthrough", "dsync", "passthrough"},
        Wrong{"unaligned=yes", "yes", "bounce, split, reject or audit"},
        Wrong{"unaligned", "unaligned", "needs a value"},
        Wrong{"unaligned=", "unaligned", "bounce, split, reject or audit"},
        Wrong{"enforce=odirect", "enforce", "unaligned=reject"},
        Wrong{"mem_align=64", "mem_align", "unaligned=reject"},
        Wrong{"unaligned=reject,enforce=some", "some", "all or odirect"},
        Wrong{"align=1000", "1000", "power of two"}, Wrong{"align=256", "256", "512 to 65536"},
        Wrong{"align=131072", "131072", "65536"}, Wrong{"align=4k", "4k", "power of two"},
        Wrong{"align=-4096", "-4096", "power of two"}, Wrong{"align=0", "0", "power of two"},
        Wrong{"unaligned=reject,mem_align=3", "3", "power of two"},
        Wrong{"unaligned=reject,mem_align=0", "mem_align", "off"},
        Wrong{"dsync=1", "dsync", "takes no value"}, Wrong{"threads=0", "0", "1 to 256"},
        Wrong{"engine=aio", "aio", "auto, uring or threads"},
        Wrong{"poll=1001", "1001", "0 to 1000"}, Wrong{"poll=-1", "-1", "0 to 1000"},
        Wrong{"fuse_uring=yes", "yes", "auto, off or on"},
        Wrong{"engine=threads,fuse_uring=on", "fuse_uring", "engine=auto or engine=uring"},
        Wrong{"engine=threads,poll=10", "poll", "engine=auto or engine=uring"},
        Wrong{"fuse_uring=on,poll=10", "poll", "fuse_uring=auto or off"},
        Wrong{"dirsync", "dirsync", "unknown"}, Wrong{"share_processor=yes", "yes", "on or off"},
        Wrong{"engine=threads,share_processor=on", "share_processor",
              "engine=auto or engine=uring"},
        Wrong{"unaligned=reject,report=tty", "tty", "log or log+tty"},
        Wrong{"report=log+tty", "report", "unaligned=reject"},
        Wrong{"unaligned=audit,report=log+tty", "report", "unaligned=reject"},
        Wrong{"max_request=100000", "100000", "a multiple of 65536"},
        Wrong{"max_request=0", "0", "65536 to 1572864"},
        Wrong{"max_request=2097152", "2097152", "65536 to 1572864"},
        Wrong{"threads=many", "many", "1 to 256"}, Wrong{"events=0", "0", "1 to 1048576"},
        Wrong{"control=maybe", "maybe", "on or off"}, Wrong{"log_level=loud", "loud", "debug"},
        Wrong{"log_file=relative", "relative", "absolute path"},
        Wrong{"attr_timeout=-1", "-1", "seconds"}, Wrong{"attr_timeout=nan", "nan", "seconds"},
        Wrong{"entry_timeout=soon", "soon", "seconds"}));

/// What the list says of `name`, "missing" if nothing.
std::string listed(const std::string& argument, const std::string& name) {
  for (const auto& [listed_name, value] : list_options(parsed({argument}))) {
    if (listed_name == name) return value;
  }
  return "missing";
}

TEST(Options, TheListShowsEveryOptionInForce) {
  const std::string argument = "unaligned=split,align=1024,dsync";
  EXPECT_EQ(listed(argument, "mode"), "direct");
  EXPECT_EQ(listed(argument, "unaligned"), "split");
  EXPECT_EQ(listed(argument, "align"), "1024");
  EXPECT_EQ(listed(argument, "require_direct"), "off");
  EXPECT_EQ(listed(argument, "dsync"), "on");
  EXPECT_EQ(listed(argument, "control"), "on");
  EXPECT_EQ(listed("unaligned=reject", "mem_align"), "auto");
  EXPECT_EQ(listed("unaligned=reject", "enforce"), "all");
  EXPECT_EQ(listed("mode=mapped,map_advice=willneed", "map_advice"), "willneed");
  EXPECT_EQ(listed("mode=mapped,map_populate", "map_populate"), "on");
  EXPECT_EQ(listed("mode=buffered,passthrough", "passthrough"), "on");
  EXPECT_EQ(listed("mode=buffered", "passthrough"), "off");
  EXPECT_EQ(listed("engine=uring", "engine"), "uring");
  EXPECT_EQ(listed("poll=7", "poll"), "7");
  EXPECT_EQ(listed("poll=7", "share_processor"), "on");
  EXPECT_EQ(listed("share_processor=off", "share_processor"), "off");
  EXPECT_EQ(listed("fuse_uring=on", "fuse_uring"), "on");
  EXPECT_EQ(listed("mode=mapped", "fuse_uring"), "auto");
  EXPECT_EQ(listed("mode=mapped,poll=7", "fuse_uring"), "off");
  EXPECT_EQ(listed("unaligned=reject,report=log+tty", "report"), "log+tty");
  EXPECT_EQ(listed("max_request=65536", "max_request"), "65536");
  EXPECT_EQ(listed("max_request=auto", "max_request"), "auto");
}

TEST(Options, TheListLeavesOutWhatTheOthersLeaveWithoutEffect) {
  for (const char* name : {"map_advice", "map_populate", "passthrough"}) {
    EXPECT_EQ(listed("mode=direct", name), "missing") << name;
  }
  for (const char* name : {"unaligned", "enforce", "align", "mem_align", "require_direct"}) {
    EXPECT_EQ(listed("mode=mapped", name), "missing") << name;
    EXPECT_EQ(listed("mode=buffered", name), "missing") << name;
  }
  EXPECT_EQ(listed("mode=buffered", "map_advice"), "missing");
  EXPECT_EQ(listed("unaligned=bounce", "mem_align"), "missing");
  EXPECT_EQ(listed("engine=threads", "poll"), "missing");
  EXPECT_EQ(listed("fuse_uring=on", "poll"), "missing");
  EXPECT_EQ(listed("engine=threads", "share_processor"), "missing");
  EXPECT_EQ(listed("engine=threads", "fuse_uring"), "missing");
  EXPECT_EQ(listed("unaligned=bounce", "report"), "missing");
}

}  // namespace
}  // namespace alignfs
