#include "alignfs/report/reporter.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "alignfs/base/unique_fd.h"
#include "calling_thread.h"
#include "sample_event.h"
#include "scratch_folder.h"

namespace alignfs {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

/// What the process logs while this lives, each message with its level before it.
class CapturedLog {
 public:
  CapturedLog() : before_(spdlog::default_logger()) {
    auto logger = std::make_shared<spdlog::logger>(
        "captured", std::make_shared<spdlog::sinks::ostream_sink_mt>(stream_));
    logger->set_level(spdlog::level::debug);
    logger->set_pattern("%l: %v");
    spdlog::set_default_logger(logger);
  }
  ~CapturedLog() { spdlog::set_default_logger(before_); }
  CapturedLog(const CapturedLog&) = delete;
  CapturedLog& operator=(const CapturedLog&) = delete;

  std::string text() const { return stream_.str(); }
  int count(const std::string& part) const {
    const std::string all = text();
    int found = 0;
    for (std::size_t at = all.find(part); at != std::string::npos; at = all.find(part, at + 1)) {
      ++found;
    }
    return found;
  }

 private:
  std::shared_ptr<spdlog::logger> before_;
  std::ostringstream stream_;
};

class ReporterTest : public testing::Test {
 protected:
  ReporterTest() {
    reporter_ = std::make_unique<Reporter>(ReporterOptions{.events = 1024, .source = source_});
  }

  /// A new file under SOURCE, and a fragment of a request to it.
  Fragment request_to(const std::string& name) {
    fs::create_directories((source_ / name).parent_path());
    file_.reset(open((source_ / name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    Fragment fragment;
    fragment.direction = Direction::write;
    fragment.offset = 100;
    fragment.length = 1024;
    fragment.requester = {getpid(), 1000, 1000};
    fragment.backing_fd = file_.get();
    struct stat facts {};
    EXPECT_EQ(fstat(file_.get(), &facts), 0);
    fragment.file = {facts.st_dev, facts.st_ino};
    return fragment;
  }

  void reject(const Fragment& fragment, std::uint64_t offset = 100) {
    Call call = sample_call();
    call.offset = offset;
    const Diagnosis diagnosis = diagnose(call, sample_rules());
    reporter_->judged(Action::rejected, fragment, {CallView::Kind::seen, call, ""}, sample_rules(),
                      diagnosis);
  }

  std::vector<Json> events() {
    std::istringstream lines(reporter_->ring().lines_from(1, 1U << 20U).first);
    std::vector<Json> events;
    for (std::string line; std::getline(lines, line);) events.push_back(Json::parse(line));
    return events;
  }

  /// Repeats `report` until the ring has merged an event: soon, unless 100 take a second.
  void until_merged(const std::function<void()>& report) {
    for (int round = 0; round < 100 && most_repeated() <= 1; ++round) {
      for (int i = 0; i < 125; ++i) report();
    }
  }

  int most_repeated() {
    int most = 0;
    for (const Json& event : events()) most = std::max(most, event["repeated"].get<int>());
    return most;
  }

  CapturedLog log_;
  const ScratchFolder scratch_;
  const fs::path source_ = scratch_.path();
  UniqueFd file_;
  std::unique_ptr<Reporter> reporter_;
};

TEST_F(ReporterTest, RefusalGoesToRingLastErrorAndLog) {
  const Fragment fragment = request_to("db/wal");
  reject(fragment);
  ASSERT_EQ(events().size(), 1U);
  const Json event = events()[0];
  EXPECT_EQ(event["action"], "rejected");
  EXPECT_EQ(event["op"], "write");
  EXPECT_EQ(event["syscall"], "pwrite64");
  EXPECT_EQ(event["path"], "/db/wal");
  EXPECT_EQ(event["pid"], getpid());
  EXPECT_EQ(event["uid"], 1000);
  EXPECT_EQ(event["errno"], "EINVAL");
  EXPECT_EQ(event["broken"], (Json{"memory", "offset", "length"}));

  const auto text = reporter_->last_errors().find(fragment.file, 1000, false);
  ASSERT_TRUE(text);
  EXPECT_TRUE(
      text->starts_with("alignfs: EINVAL: pwrite(fd 3, buf 0x55e508d70880, 1024 bytes, "
                        "offset 100) on /db/wal by "))
      << *text;
  EXPECT_FALSE(reporter_->last_errors().find(fragment.file, 1001, false));
  EXPECT_EQ(log_.text(), "warning: " + *text + "\n");
}

TEST_F(ReporterTest, NewestRefusalIsTheLastErrorWhateverTheRate) {
  const Fragment fragment = request_to("busy");
  std::uint64_t offset = 0;
  until_merged([&] { reject(fragment, ++offset); });
  EXPECT_GT(most_repeated(), 1);
  const auto text = reporter_->last_errors().find(fragment.file, 1000, false);
  ASSERT_TRUE(text);
  EXPECT_NE(text->find("offset " + std::to_string(offset) + ")"), std::string::npos) << *text;
  EXPECT_LT(log_.count("warning: "), int(offset) / 10) << "one a second";
}

TEST_F(ReporterTest, PathIsThePresentOne) {
  const Fragment fragment = request_to("old");
  fs::rename(source_ / "old", source_ / "new (deleted)");
  reject(fragment);
  EXPECT_EQ(events().back()["path"], "/new (deleted)") << "a name that means nothing";
  fs::remove(source_ / "new (deleted)");
  reject(fragment);
  EXPECT_EQ(events().back()["path"], "/new (deleted)") << "the mark of a file without names is off";

  const Fragment plain = request_to("gone");
  fs::remove(source_ / "gone");
  reject(plain);
  EXPECT_EQ(events().back()["path"], "/gone");
}

TEST_F(ReporterTest, PathOutsideSourceStaysWhole) {
  const std::string outside = source_.string() + "-beside";
  Fragment fragment = request_to("x");
  const UniqueFd file(open(outside.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  fragment.backing_fd = file.get();
  reject(fragment);
  unlink(outside.c_str());
  EXPECT_EQ(events().back()["path"], outside);
  fragment.backing_fd = -1;
  reject(fragment);
  EXPECT_TRUE(events().back()["path"].is_null());
}

/// A request that a helper thread's readv stands behind: of two buffers at file position 0.
class AdaptedTest : public ReporterTest {
 protected:
  /// Reports the fragment at `offset` of a call of `first` and `second` as bounced: once, or until
  /// events are merged.
  void bounce(iovec first, iovec second, std::uint64_t offset, std::uint64_t length,
              bool often = false) {
    Pipe pipe;
    iovec vector[] = {first, second};
    const CallingThread caller([&] { (void)!readv(pipe.reader(), vector, 2); },
                               [&] { pipe.close_writer(); });
    caller.wait_for(std::to_string(SYS_readv) + " ");
    Fragment fragment = request_to("data");
    fragment.direction = Direction::read;
    fragment.offset = offset;
    fragment.length = length;
    fragment.requester.tid = caller.tid();
    fragment.file.inode = other_file_ ? pipe.inode() + 1 : pipe.inode();
    const auto report = [&] { reporter_->adapted(Action::bounced, fragment, sample_rules()); };
    if (often) {
      until_merged(report);
    } else {
      report();
    }
  }

  alignas(4096) char buffer_[16384];
  bool other_file_ = false;
};

TEST_F(AdaptedTest, TellsTheWholeCallAndIsNoError) {
  bounce({buffer_ + 16, 4096}, {buffer_ + 8192, 4000}, 4096, 4000);
  ASSERT_EQ(events().size(), 1U);
  const Json event = events()[0];
  EXPECT_EQ(event["action"], "bounced");
  EXPECT_EQ(event["syscall"], "readv");
  EXPECT_EQ(event["offset"], 0);
  EXPECT_EQ(event["length"], 8096);
  EXPECT_EQ(event["segments"], 2);
  EXPECT_EQ(event["path"], "/data");
  EXPECT_TRUE(event["errno"].is_null());
  EXPECT_EQ(event["broken"], (Json{"memory", "length"}));
  EXPECT_EQ(log_.count("debug: alignfs: bounced: readv(fd "), 1) << log_.text();
  EXPECT_EQ(log_.count("warning"), 0);
}

TEST_F(AdaptedTest, CountsIntoAnEventThatBreaksMoreRulesThanItsFragment) {
  bounce({buffer_ + 16, 4096}, {buffer_ + 8192, 4000}, 4096, 4000, true);
  EXPECT_EQ(events().back()["broken"], (Json{"memory", "length"}));
  EXPECT_GT(most_repeated(), 1);
}

TEST_F(AdaptedTest, FragmentOfALegalCallIsNoEvent) {
  bounce({buffer_, 512}, {buffer_ + 4096, 7680}, 512, 7680);
  EXPECT_TRUE(events().empty());
  EXPECT_EQ(log_.text(), "");
}

TEST_F(AdaptedTest, PageAccessIsNoEvent) {
  other_file_ = true;
  bounce({buffer_ + 16, 4096}, {buffer_ + 8192, 4000}, 4096, 4000);
  EXPECT_TRUE(events().empty());
}

TEST_F(AdaptedTest, MergesAtAHighRateAndRemembersNoError) {
  const Fragment fragment = request_to("data");
  Fragment unseen = fragment;
  unseen.requester.tid = 0;
  until_merged([&] { reporter_->adapted(Action::split, unseen, sample_rules()); });
  EXPECT_EQ(events().back()["action"], "split");
  EXPECT_EQ(events().back()["unseen"], "the kernel names no caller");
  EXPECT_GT(most_repeated(), 1);
  EXPECT_FALSE(reporter_->last_errors().find(fragment.file, 0, true));
}

TEST_F(ReporterTest, EachFallbackIsSaidOnceADevice) {
  Fragment opened = request_to("file");
  const Rules rules{{512, Source::fallback}, {4096, Source::fallback}};
  reporter_->fallback(Fallback::unproven, opened, rules);
  reporter_->fallback(Fallback::unproven, opened, rules);
  opened.file.inode += 1;
  reporter_->fallback(Fallback::unproven, opened, rules);
  ASSERT_EQ(events().size(), 1U);
  EXPECT_EQ(events()[0]["action"], "fallback");
  EXPECT_EQ(events()[0]["path"], "/file");
  EXPECT_EQ(events()[0]["required"]["source"], "fallback");
  EXPECT_EQ(events()[0]["reason"],
            "O_DIRECT is accepted, but statx vouches for no direct I/O: the backing may use the "
            "page cache");
  EXPECT_EQ(log_.count("warning: alignfs: fallback: O_DIRECT is accepted"), 1);

  reporter_->fallback(Fallback::unmappable, opened, {});
  reporter_->fallback(Fallback::unmappable, opened, {});
  ASSERT_EQ(events().size(), 2U);
  EXPECT_EQ(events()[1]["reason"], "files like this one are not mapped: they are read by pread");
  EXPECT_TRUE(events()[1]["required"].is_null());

  opened.file.device += 1;
  reporter_->fallback(Fallback::refused, opened, rules);
  ASSERT_EQ(events().size(), 3U);
  EXPECT_EQ(events()[2]["reason"], "O_DIRECT is refused: I/O goes through the page cache");
  EXPECT_FALSE(reporter_->last_errors().find(opened.file, 0, true));
}

TEST(DeviceName, IsThatOfTheBlockDeviceIfThereIsOne) {
  EXPECT_EQ(device_name(makedev(0, 33)), "");
  EXPECT_EQ(device_name(makedev(4095, 33)), "");
  for (const auto& entry : fs::directory_iterator("/sys/block")) {
    std::ifstream file(entry.path() / "dev");
    unsigned major_number = 0;
    unsigned minor_number = 0;
    char colon = 0;
    file >> major_number >> colon >> minor_number;
    EXPECT_EQ(device_name(makedev(major_number, minor_number)), entry.path().filename());
  }
}

}  // namespace
}  // namespace alignfs
