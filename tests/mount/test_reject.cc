// A strict mount refuses what a 4K-native disk refuses, no more and no less, and says why.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "mount/support/calls.h"
#include "mount/support/fixture.h"

namespace alignfs::test {
namespace {

constexpr std::size_t kFileSize = 20'000;

/// Every scalar call of interest around blocks and EOF.
void add_scalar_calls(std::vector<CallShape>* table) {
  for (const Op op :
       {Op::read, Op::write, Op::pread, Op::pwrite, Op::submit_read, Op::submit_write}) {
    for (const std::size_t excess : {0u, 16u, 128u, 512u, 4095u}) {
      for (const std::uint64_t offset :
           {0u, 1u, 512u, 4096u, 4608u, 16384u, 19'999u, 20'000u, 20'001u, 20'480u}) {
        for (const std::size_t length : {0u, 1u, 512u, 1024u, 4095u, 4096u, 4608u, 8192u}) {
          table->push_back({op, offset, {{excess, length}}});
        }
      }
    }
  }
}

void add_vector_calls(std::vector<CallShape>* table) {
  const std::vector<std::vector<Part>> vectors = {
      {{0, 4096}},
      {{0, 3584}, {0, 512}},
      {{0, 512}, {0, 512}, {0, 512}, {0, 512}, {0, 512}, {0, 512}, {0, 512}, {0, 512}},
      {{0, 4096}, {0, 512}},
      {{0, 256}, {0, 256}},
      {{0, 4096}, {512, 4096}},
      {{0, 3584}, {16, 512}},
      {{16, 4096}, {0, 4096}},
      {{0, 4000}, {0, 96}},
      {{0, 4096}, {16, 512}},
      {{0, 4096}, {0, 256}},
      {{0, 4096}, {16, 4096}},
      {{0, 0}, {0, 4096}},
      {{0, 4096}, {16, 0}},
      {{0, 0}, {0, 0}},
  };
  for (const Op op : {Op::readv, Op::writev, Op::preadv, Op::pwritev, Op::preadv2, Op::pwritev2,
                      Op::submit_readv, Op::submit_writev}) {
    for (const std::vector<Part>& parts : vectors) {
      for (const std::uint64_t offset : {0u, 1u, 512u, 4096u, 16384u, 20'000u, 20'001u, 20'480u}) {
        table->push_back({op, offset, parts});
      }
    }
  }
}

std::vector<CallShape> call_table() {
  std::vector<CallShape> table;
  add_scalar_calls(&table);
  add_vector_calls(&table);
  return table;
}

/// A file on the bare 4K disk and its twin on the strict mount, both open.
struct Twins {
  Fd bare;
  Fd mounted;
  std::string bare_path;
  std::string mounted_path;
  std::string content;  ///< what both must hold

  /// Follows a write that succeeded.
  void follow(const CallShape& shape, std::int64_t written, std::uint64_t seed) {
    const std::string bytes = pattern(shape.length(), seed);
    for (std::size_t i = 0; i < static_cast<std::size_t>(written); ++i) {
      if (shape.offset + i < content.size()) content[shape.offset + i] = bytes[i];
    }
  }
};

/// One call on one descriptor, with all its effect.
struct Effect {
  CallResult result;
  std::int64_t size = 0;
  std::string bytes;  ///< what a read put into the buffers
  bool operator==(const Effect&) const = default;
};

Effect carry_out(CallMaker* maker, int fd, const CallShape& shape, std::uint64_t seed) {
  maker->fill(shape, pattern(shape.length(), seed));
  Effect effect;
  effect.result = maker->make(fd, shape);
  // What lies in the buffers beyond the result is nobody's promise.
  effect.bytes = maker->gather(shape).substr(
      0, static_cast<std::size_t>(std::max<std::int64_t>(effect.result.result, 0)));
  struct stat status {};
  fstat(fd, &status);
  effect.size = status.st_size;
  if (status.st_size != static_cast<off_t>(kFileSize)) {
    EXPECT_EQ(ftruncate(fd, kFileSize), 0);
  }
  return effect;
}

std::string hex(const void* address) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%llx",
                static_cast<unsigned long long>(reinterpret_cast<std::uint64_t>(address)));
  return text;
}

/// The first buffer of those in `list` that lies off its boundary.
std::string blamed_buffer(const std::vector<iovec>& list) {
  for (const iovec& part : list) {
    if (part.iov_len != 0 && reinterpret_cast<std::uint64_t>(part.iov_base) % 512 != 0) {
      return hex(part.iov_base);
    }
  }
  return "none";
}

/// The events since the last look, but for those about a backing without direct I/O of its own.
std::vector<nlohmann::json> events_of_calls(Events* events) {
  std::vector<nlohmann::json> list = events->drain();
  std::erase_if(list, [](const nlohmann::json& event) { return event["action"] == "fallback"; });
  return list;
}

/// Checks the events that a call caused against what the test knows of the call.
void check_events(const std::vector<nlohmann::json>& events, const CallShape& shape,
                  const std::vector<iovec>& list, bool refused, const std::string& name) {
  ASSERT_EQ(events.size(), refused ? 1u : 0u)
      << shape.describe() << (events.empty() ? "" : "\n" + events[0].dump());
  if (!refused) return;
  const nlohmann::json& event = events[0];
  const std::string shown = shape.describe() + "\n" + event.dump();
  EXPECT_EQ(event["action"], "rejected") << shown;
  EXPECT_EQ(event["errno"], "EINVAL") << shown;
  EXPECT_EQ(event["op"], is_write(shape.op) ? "write" : "read") << shown;
  EXPECT_EQ(event["syscall"], syscall_name(shape.op)) << shown;
  EXPECT_EQ(event["path"], "/" + name) << shown;
  EXPECT_EQ(event["pid"], getpid()) << shown;
  EXPECT_EQ(event["uid"], getuid()) << shown;
  EXPECT_EQ(event["offset"], shape.offset) << shown;
  EXPECT_EQ(event["length"], shape.length()) << shown;
  EXPECT_EQ(event["buffer"], hex(list[0].iov_base)) << shown;
  // Of a read across the end of file, the disk judges what lies in the file's blocks. Naming what
  // else is wrong with the call as the program made it is no error.
  const std::vector<iovec> judged = judged_part(list, shape, kFileSize, {});
  const nlohmann::json& broken = event["broken"];
  EXPECT_TRUE(broken == nlohmann::json(broken_rules(judged, shape.offset, {})) ||
              broken == nlohmann::json(broken_rules(list, shape.offset, {})))
      << shown;
  EXPECT_EQ(event["required"]["memory"], 512) << shown;
  EXPECT_EQ(event["required"]["offset"], 4096) << shown;
  EXPECT_EQ(event["required"]["length"], 4096) << shown;
  const std::uint64_t begin = shape.offset / 4096 * 4096;
  const std::uint64_t end = (shape.offset + shape.length() + 4095) / 4096 * 4096;
  EXPECT_EQ(event["nearest"]["offset"], begin) << shown;
  EXPECT_EQ(event["nearest"]["length"], end - begin) << shown;
}

/// The text must name the numbers of every broken rule and of no other.
void check_text(const std::string& text, const CallShape& shape, const std::vector<iovec>& list) {
  const std::vector<std::string> broken = broken_rules(list, shape.offset, {});
  const auto names = [&](const std::string& rule) {
    return std::find(broken.begin(), broken.end(), rule) != broken.end();
  };
  const auto has = [&](const std::string& part) { return text.find(part) != std::string::npos; };
  EXPECT_TRUE(has("EINVAL")) << text;
  EXPECT_TRUE(has(syscall_name(shape.op)) || has(is_write(shape.op) ? "write" : "read")) << text;
  EXPECT_EQ(has("past a 512-byte boundary"), names("memory")) << shape.describe() << "\n" << text;
  if (names("memory")) {
    EXPECT_TRUE(has(blamed_buffer(list))) << shape.describe() << "\n" << text;
  }
  EXPECT_EQ(has(std::to_string(shape.offset % 4096) + " past a 4096-byte boundary"),
            names("offset"))
      << shape.describe() << "\n"
      << text;
  const std::uint64_t missing = (4096 - shape.length() % 4096) % 4096;
  if (missing != 0) {
    EXPECT_TRUE(has(std::to_string(missing) + " short of a multiple of 4096")) << text;
  }
  EXPECT_TRUE(has("nearest request that works:")) << text;
  EXPECT_TRUE(has("unaligned=bounce")) << text;
}

struct Target {
  const char* name;
  const char* filesystem;  ///< of the reference and, unless tmpfs is set, of the backing
  unsigned sector;         ///< of the backing; 0 is tmpfs
  const char* options;
};

void PrintTo(const Target& value, std::ostream* out) { *out << value.name; }

class Reject : public MountTest, public ::testing::WithParamInterface<Target> {
 protected:
  void SetUp() override {
    MountTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const std::string filesystem = GetParam().filesystem;
    bare_ = std::make_unique<Backing>(LoopDisk::Shape{.sector = 4096, .filesystem = filesystem});
    if (GetParam().sector == 0) {
      tmpfs_ = std::make_unique<TmpfsDir>();
    } else {
      disk_ = std::make_unique<Backing>(
          LoopDisk::Shape{.sector = GetParam().sector, .filesystem = filesystem});
    }
    mount_ = std::make_unique<Mount>(source(), GetParam().options);
  }

  const std::string& source() const { return tmpfs_ ? tmpfs_->path() : disk_->path(); }

  Twins make_twins(const std::string& name, int mount_flags) const {
    const std::string content = pattern(kFileSize, 1);
    write_file(*bare_ / name, content);
    write_file(source() + "/" + name, content);
    Twins twins;
    twins.content = content;
    twins.bare_path = *bare_ / name;
    twins.mounted_path = *mount_ / name;
    twins.bare = open_file(twins.bare_path, O_RDWR | O_DIRECT);
    twins.mounted = open_file(twins.mounted_path, O_RDWR | mount_flags);
    return twins;
  }

  std::unique_ptr<Backing> bare_, disk_;
  std::unique_ptr<TmpfsDir> tmpfs_;
  std::unique_ptr<Mount> mount_;
};

INSTANTIATE_TEST_SUITE_P(
    Targets, Reject,
    ::testing::Values(Target{"ext4_4k", "ext4", 4096, "unaligned=reject"},
                      Target{"ext4_512", "ext4", 512, "unaligned=reject,align=4096"},
                      Target{"tmpfs", "ext4", 0, "unaligned=reject,align=4096"},
                      Target{"xfs_4k", "xfs", 4096, "unaligned=reject"},
                      Target{"xfs_512", "xfs", 512, "unaligned=reject,align=4096"}),
    [](const auto& test) { return test.param.name; });

TEST_P(Reject, EveryCallEndsAsOnABare4kDiskAndEveryRefusalIsExplained) {
  // Few enough calls a file that the events of one kind all stand alone.
  constexpr std::size_t kCallsPerFile = 80;
  const std::vector<CallShape> table = call_table();
  CallMaker maker;
  Events events(mount_->path());
  events.skip();
  Twins twins;
  std::string name;
  unsigned refusals = 0;
  for (std::size_t i = 0; i < table.size() && !HasFailure(); ++i) {
    if (i % kCallsPerFile == 0) {
      name = "file-" + std::to_string(i / kCallsPerFile);
      twins = make_twins(name, (i / kCallsPerFile) % 2 == 0 ? O_DIRECT : 0);
    }
    const CallShape& shape = table[i];
    const Effect bare = carry_out(&maker, twins.bare.get(), shape, i);
    const Effect ours = carry_out(&maker, twins.mounted.get(), shape, i);
    EXPECT_EQ(ours.result.result, bare.result.result) << shape.describe();
    EXPECT_EQ(ours.result.error, bare.result.error) << shape.describe();
    EXPECT_EQ(ours.size, bare.size) << shape.describe();
    EXPECT_TRUE(same_bytes(ours.bytes, bare.bytes)) << shape.describe();
    const bool refused = bare.result.error == EINVAL;
    check_events(events_of_calls(&events), shape, maker.segments(shape), refused, name);
    if (refused) check_text(last_error(twins.mounted_path), shape, maker.segments(shape));
    refusals += refused;
    if (is_write(shape.op) && !refused) twins.follow(shape, bare.result.result, i);
    // A bare ext4 may have written the first extent of a vector before it refuses the next.
    if (is_write(shape.op) && refused) write_file(twins.bare_path, twins.content);
    if (i % kCallsPerFile == kCallsPerFile - 1 || i + 1 == table.size()) {
      EXPECT_TRUE(same_bytes(read_file(source() + "/" + name), twins.content)) << name;
      EXPECT_TRUE(same_bytes(read_file(twins.bare_path), twins.content)) << name;
    }
  }
  if (HasFailure()) return;
  EXPECT_GT(refusals, table.size() / 4) << "the reference refuses too little";
}

/// Numbers of files that are gone are given to new ones.
TEST_P(Reject, ANewFileDoesNotShowWhatAnEarlierOneWasRefused) {
  if (tmpfs_) return;  // it gives no number twice
  struct stat earlier {
  }, later{};
  const std::string old_name = *mount_ / "old";
  std::string new_name;
  {
    const Fd fd = open_file(old_name, O_RDWR | O_CREAT | O_DIRECT);
    EXPECT_EQ(pwrite(fd.get(), "x", 1, 1), -1);
    ASSERT_EQ(stat(old_name.c_str(), &earlier), 0);
  }
  EXPECT_NE(last_error(old_name), "");
  ASSERT_EQ(unlink(old_name.c_str()), 0);
  // The backing gives the number up when the kernel has forgotten the file, XFS some time after.
  for (int i = 0; i < 500 && later.st_ino != earlier.st_ino; ++i) {
    usleep(10'000);
    new_name = *mount_ / ("new-" + std::to_string(i));
    open_file(new_name, O_RDWR | O_CREAT);
    ASSERT_EQ(stat(new_name.c_str(), &later), 0);
  }
  ASSERT_EQ(later.st_ino, earlier.st_ino);
  EXPECT_EQ(last_error(new_name), "");
}

class BareDisk : public MountTest, public ::testing::WithParamInterface<const char*> {};

INSTANTIATE_TEST_SUITE_P(Filesystems, BareDisk, ::testing::Values("ext4", "xfs"),
                         [](const auto& test) { return test.param; });

TEST_P(BareDisk, RefusesWhatTheTestsOwnRulesCallBroken) {
  const Backing bare(LoopDisk::Shape{.sector = 4096, .filesystem = GetParam()});
  write_file(bare / "file", pattern(kFileSize, 1));
  const Fd fd = open_file(bare / "file", O_RDWR | O_DIRECT);
  CallMaker maker;
  for (const CallShape& shape : call_table()) {
    const CallResult result = carry_out(&maker, fd.get(), shape, 1).result;
    const bool nothing_to_do =
        shape.length() == 0 || (!is_write(shape.op) && shape.offset >= kFileSize);
    const std::vector<iovec> judged = judged_part(maker.segments(shape), shape, kFileSize, {});
    const bool broken = !broken_rules(judged, shape.offset, {}).empty();
    EXPECT_EQ(result.error, broken && !nothing_to_do ? EINVAL : 0) << shape.describe();
  }
}

}  // namespace
}  // namespace alignfs::test
