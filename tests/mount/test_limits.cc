// Files in numbers, and files that grow: what the daemon keeps for them is bounded.

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <set>
#include <system_error>
#include <thread>
#include <vector>

#include "mount/support/crew.h"
#include "mount/support/fixture.h"
#include "mount/support/modes.h"
#include "mount/support/soft_limit.h"

namespace alignfs::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// But for what its threads keep of /proc to look through at their callers.
std::size_t descriptors_of(pid_t pid) {
  std::size_t count = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    // One may be closed meanwhile.
    std::error_code gone;
    const auto target = read_symlink(entry.path(), gone).native();
    count += !(target.starts_with("/proc/") && target.ends_with("/syscall"));
  }
  return count;
}

/// As many descriptors as there are to be had, up to `wanted`, for this process and those it
/// starts.
class ManyDescriptors {
 public:
  explicit ManyDescriptors(rlim_t wanted) {
    getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit more{wanted, std::max(wanted, before_.rlim_max)};
    const rlimit most{std::min(wanted, before_.rlim_max), before_.rlim_max};
    // To raise the hard limit takes CAP_SYS_RESOURCE, which root in a container may lack.
    const bool raised = setrlimit(RLIMIT_NOFILE, &more) == 0;
    if (!raised) setrlimit(RLIMIT_NOFILE, &most);
    count_ = raised ? more.rlim_cur : most.rlim_cur;
  }
  ~ManyDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
  ManyDescriptors(const ManyDescriptors&) = delete;
  ManyDescriptors& operator=(const ManyDescriptors&) = delete;

  rlim_t count() const { return count_; }

 private:
  rlimit before_{};
  rlim_t count_ = 0;
};

class OpenFiles : public MountTest, public ::testing::WithParamInterface<Mode> {};

INSTANTIATE_TEST_SUITE_P(Modes, OpenFiles, ::testing::Values(kMapped, kBuffered, kBounce),
                         mode_name);

TEST_P(OpenFiles, TenThousandAreOpenAtOnce) {
  constexpr unsigned kMappings = 4096;
  const ManyDescriptors descriptors(30'000);
  // The daemon has two for each file, and does without the third that unaligned writes would like.
  // A sanitizer makes a pipe to see whether memory can be read, and takes it for lost if it cannot.
  const rlim_t each = sanitized() ? 3 : 2;
  const auto files =
      static_cast<unsigned>(std::min<rlim_t>(10'000, descriptors.count() / each - 200));
  ASSERT_GE(files, kMappings + 1000);
  const auto name = [](unsigned i) { return std::to_string(i); };
  const auto content = [](unsigned i) { return pattern(200, i); };
  const Backing backing(LoopDisk::Shape{});
  for (unsigned i = 0; i < files; ++i) {
    const Fd fd = open_file(backing / name(i), O_WRONLY | O_CREAT);
    ASSERT_EQ(write(fd.get(), content(i).data(), 200), 200);
  }
  Mount mount(backing.path(), GetParam().options);
  Events events(mount.path());
  const auto before = descriptors_of(mount.pid());
  {
    std::vector<Fd> open;
    for (unsigned i = 0; i < files; ++i) open.push_back(open_file(mount / name(i), O_RDWR));
    unsigned wrong = 0;
    double most = 0;
    for (unsigned i = 0; i < files; ++i) {
      char bytes[300];
      wrong += pread(open[i].get(), bytes, sizeof bytes, 0) != 200 ||
               std::string(bytes, 200) != content(i);
      wrong += pwrite(open[i].get(), name(i).data(), name(i).size(), 100) !=
               static_cast<ssize_t>(name(i).size());
      wrong += pread(open[i].get(), bytes, sizeof bytes, 0) != 200 ||
               std::string(bytes, 200) != content(i).replace(100, name(i).size(), name(i));
      if (i % 1000 == 0) most = std::max(most, Stats(mount.path()).gauge("alignfs_mappings"));
    }
    EXPECT_EQ(wrong, 0u);
    most = std::max(most, Stats(mount.path()).gauge("alignfs_mappings"));
    EXPECT_EQ(most, GetParam().is_mapped() ? kMappings : 0);
  }
  for (unsigned i = 0; i < files; ++i) {
    ASSERT_TRUE(
        same_bytes(read_file(backing / name(i)), content(i).replace(100, name(i).size(), name(i))))
        << i;
  }
  EXPECT_TRUE(eventually([&] { return descriptors_of(mount.pid()) <= before; }))
      << descriptors_of(mount.pid()) << " descriptors, at first " << before;
  EXPECT_EQ(Stats(mount.path()).gauge("alignfs_mappings"), 0);
  EXPECT_EQ(Stats(mount.path()).gauge("alignfs_mapped_bytes"), 0);
  if (!GetParam().is_mapped()) return;

  const Stats stats(mount.path());
  const auto unmapped = files - kMappings;
  EXPECT_EQ(stats.value("alignfs_requests_total", "read", "fallback"), 2 * unmapped);
  std::vector<nlohmann::json> told = events.drain();
  std::erase_if(told, [](const auto& event) { return event["action"] != "fallback"; });
  EXPECT_EQ(told.size(), 1u) << "said once";
  // What was closed has made room.
  const Fd again = open_file(mount / name(files - 1), O_RDWR);
  char byte = 0;
  EXPECT_EQ(pread(again.get(), &byte, 1, 0), 1);
  EXPECT_EQ(Stats(mount.path()).gauge("alignfs_mappings"), 1);
}

class FileSizeLimit : public ModeTest, protected BackingAndMount {};

// With passthrough the kernel writes in the program's name, under the program's limit.
INSTANTIATE_TEST_SUITE_P(Modes, FileSizeLimit,
                         ::testing::Values(kBounce, kSplit, kReject, kMapped, kBuffered),
                         mode_name);

/// A daemon that was started under `ulimit -f`.
TEST_P(FileSizeLimit, OfTheDaemonIsTheProgramsErrorAndNobodysEnd) {
  constexpr off_t kLimit = 1 << 20;
  backing_ = std::make_unique<Backing>(LoopDisk::Shape{});
  {
    const SoftLimit low(RLIMIT_FSIZE, kLimit);
    mount_ = std::make_unique<Mount>(backing_->path(), GetParam().options);
  }

  const Fd fd = open_file(mounted("file"), O_RDWR | O_CREAT);
  AlignedBuffer buffer(8192);
  buffer.fill(pattern(8192, 1));
  const auto error_of = [](ssize_t result) { return result < 0 ? errno : 0; };
  EXPECT_EQ(error_of(pwrite(fd.get(), buffer.data(), 8192, 2 * kLimit)), EFBIG);
  EXPECT_EQ(error_of(ftruncate(fd.get(), 2 * kLimit)), EFBIG);
  EXPECT_EQ(error_of(fallocate(fd.get(), 0, 0, 2 * kLimit)), EFBIG);
  EXPECT_EQ(pwrite(fd.get(), buffer.data(), 8192, kLimit - 8192), 8192);
  EXPECT_EQ(kill(mount_->pid(), 0), 0) << "the daemon is gone";
  EXPECT_EQ(size_of(backing("file")), kLimit);
}

class Growth : public MountTest, public ::testing::WithParamInterface<Mode> {};

INSTANTIATE_TEST_SUITE_P(Modes, Growth, ::testing::Values(kMapped, kBuffered, kBounce), mode_name);

/// The page that holds the end of file takes stores behind the end, which nobody would see.
TEST_P(Growth, SmallStepsAllCount) {
  const Backing backing(LoopDisk::Shape{});
  const Mount mount(backing.path(), GetParam().options);
  const Fd fd = open_file(mount / "file", O_RDWR | O_CREAT);
  std::string content;
  for (unsigned step = 0; step < 3000; ++step) {
    const auto bytes = pattern(1 + step % 37, step);
    ASSERT_EQ(pwrite(fd.get(), bytes.data(), bytes.size(), off_t(content.size())),
              ssize_t(bytes.size()));
    content += bytes;
    ASSERT_EQ(size_of(backing / "file"), std::int64_t(content.size())) << step;
    // Some steps begin within the file, so that there is a mapping.
    if (step % 3 != 0) continue;
    ASSERT_EQ(pwrite(fd.get(), bytes.data(), bytes.size(), off_t(content.size() / 2)),
              ssize_t(bytes.size()));
    content.replace(content.size() / 2, bytes.size(), bytes);
    char byte = 0;
    ASSERT_EQ(pread(fd.get(), &byte, 1, 0), 1);
  }
  EXPECT_TRUE(same_bytes(read_file(backing / "file"), content));
}

class MappedGrowth : public MountTest {};

/// Each mapping that is made anew costs its pages anew: one for every few steps would be quadratic.
TEST_F(MappedGrowth, TwoGibibytesInSmallStepsAreMappedAFewTimes) {
  constexpr std::size_t kStep = 4096;
  const std::size_t steps = (sanitized() ? std::size_t{256} << 20 : std::size_t{2} << 30) / kStep;
  const Backing backing(LoopDisk::Shape{.megabytes = 2600});
  Mount mount(backing.path(), kMapped.options);
  const Fd fd = open_file(mount / "file", O_RDWR | O_CREAT);
  std::atomic<std::size_t> written{0};
  // Each step tells its number, so that each can be checked by a few bytes.
  const auto read_step = [&](std::size_t step) {
    std::size_t number = 0;
    const ssize_t got = pread(fd.get(), &number, sizeof number, off_t(step * kStep + 2000));
    return got == ssize_t{sizeof number} && number == step;
  };
  Crew reader;
  reader.add([&, random = std::minstd_rand(1)](unsigned) mutable -> std::string {
    const std::size_t known = written;
    std::this_thread::sleep_for(milliseconds(1));
    if (known == 0) return "";
    const std::size_t any = random() % known;
    return read_step(known - 1) && read_step(any) ? "" : "a wrong read in a growing file";
  });
  std::set<double> lengths;
  std::string block(kStep, 'x');
  for (std::size_t step = 0; step < steps; ++step) {
    std::memcpy(block.data() + 2000, &step, sizeof step);
    ASSERT_EQ(pwrite(fd.get(), block.data(), kStep, off_t(step * kStep)), ssize_t{kStep});
    written = step + 1;
    if (step % 512 != 0) continue;
    // The newest bytes are read, and every mapping of another length is seen.
    ASSERT_TRUE(read_step(step));
    lengths.insert(Stats(mount.path()).gauge("alignfs_mapped_bytes"));
  }
  EXPECT_EQ(reader.finish(), "");
  EXPECT_GE(lengths.size(), 5u) << "it was to be mapped while it grew";
  EXPECT_LE(lengths.size(), 16u);
  EXPECT_EQ(size_of(backing / "file"), static_cast<std::int64_t>(steps * kStep));
  for (std::size_t step = 0; step < steps; step += 997) ASSERT_TRUE(read_step(step)) << step;
}

}  // namespace
}  // namespace alignfs::test
