#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "alignfs/report/advice.h"
#include "alignfs/report/event.h"
#include "alignfs/report/printable.h"
#include "sample_event.h"

namespace alignfs {
namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Lines of an explanation that begin with the name of a rule.
int lines_of_rule(const std::string& text, const std::string& rule) {
  int count = 0;
  for (std::size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 1)) {
    if (text.compare(at + 1, rule.size() + 4, "  " + rule + "  ") == 0) ++count;
  }
  return count;
}

Call vector_call(std::vector<Segment> segments, std::uint64_t offset) {
  Call call{.syscall = "pwritev", .fd = 5, .offset = offset, .length = 0, .segments = {}};
  for (const Segment& segment : segments) call.length += segment.length;
  call.segments = std::move(segments);
  return call;
}

TEST(EventText, AllThreeRulesToTheLetter) {
  EXPECT_EQ(
      to_text(sample_event()),
      "alignfs: EINVAL: pwrite(fd 3, buf 0x55e508d70880, 1024 bytes, offset 100) on /db/wal "
      "by python3[7318]\n"
      "  memory  0x55e508d70880 is 128 past a 512-byte boundary   needs 512: DMA alignment of "
      "vda, from statx\n"
      "  offset  100 is 100 past a 4096-byte boundary             needs 4096: -o align=4096\n"
      "  length  1024 is 3072 short of a multiple of 4096         needs 4096: -o align=4096\n"
      "  nearest request that works: 4096 bytes at offset 0, buffer on a 512-byte boundary\n"
      "  python: m = mmap.mmap(-1, 4096), os.preadv(fd, [m], 0) for the bytes around yours, "
      "m[100:1124] = data, os.pwrite(fd, memoryview(m)[:4096], 0); or mount with -o "
      "unaligned=bounce");
}

TEST(EventText, HeadlineIsTheFirstLineWithoutThePrefix) {
  const std::string text = to_text(sample_event());
  EXPECT_EQ("alignfs: " + headline(sample_event()), text.substr(0, text.find('\n')));
}

TEST(EventText, ListsOnlyBrokenRules) {
  Call call = sample_call();
  call.offset = 8192;
  call.length = 4096;
  const std::string text = to_text(refusal_of(call, sample_rules()));
  EXPECT_EQ(lines_of_rule(text, "memory"), 1);
  EXPECT_EQ(lines_of_rule(text, "offset"), 0);
  EXPECT_EQ(lines_of_rule(text, "length"), 0);
  EXPECT_TRUE(has(text,
                  "put the data in m = mmap.mmap(-1, 4096) and os.pwrite(fd, "
                  "memoryview(m)[:4096], 8192)"))
      << text;
  EXPECT_TRUE(has(text, "or mount with -o unaligned=bounce or -o mem_align=off")) << text;
}

TEST(EventText, VectorNamesTheSegmentCountedFromOne) {
  const Call call = vector_call({{0x10000, 4096}, {0x20010, 4096}, {0x30000, 4096}}, 4096);
  const std::string text = to_text(refusal_of(call, sample_rules()));
  EXPECT_TRUE(has(text, "pwritev(fd 5, 3 segments from 0x10000, 12288 bytes, offset 4096)"))
      << text;
  EXPECT_TRUE(has(text, "memory  segment 2 of 3 at 0x20010 is 16 past a 512-byte boundary"))
      << text;
}

TEST(EventText, SegmentLengthNamesTheRuleItBreaks) {
  const Call call = vector_call({{0x10000, 4000}, {0x20000, 4192}}, 0);
  Rules rules = sample_rules();
  std::string text = to_text(refusal_of(call, rules));
  EXPECT_TRUE(has(text,
                  "length  segment 1 of 2 is 4000 bytes, no multiple of 512   needs 512 in "
                  "each segment: DMA alignment of vda, from statx"))
      << text;
  EXPECT_EQ(lines_of_rule(text, "length"), 1) << "the total is whole";
  EXPECT_TRUE(has(text, "8192 bytes at offset 0, in one piece, buffer on")) << text;

  rules.vector = VectorRule::block;
  text = to_text(refusal_of(call, rules));
  EXPECT_TRUE(has(text, "no multiple of 4096   needs 4096 in each segment: -o align=4096")) << text;
}

TEST(EventText, TellsWhereEachRuleComesFrom) {
  Event event = sample_event();
  const auto with = [&event](Source memory, Source block) {
    event.rules.memory.source = memory;
    event.rules.block.source = block;
    return to_text(event);
  };
  EXPECT_TRUE(has(with(Source::statx, Source::statx),
                  "needs 4096: direct I/O alignment of vda, from statx"));
  EXPECT_TRUE(has(with(Source::option, Source::option), "needs 512: -o mem_align=512"));
  const std::string assumed = with(Source::fallback, Source::fallback);
  EXPECT_TRUE(has(assumed, "needs 512: Linux's default DMA alignment; the backing states none\n"));
  EXPECT_TRUE(has(assumed, "needs 4096: assumed; the backing states none\n"));
  event.device.clear();
  EXPECT_TRUE(has(with(Source::statx, Source::statx),
                  "needs 512: DMA alignment of the backing filesystem, from statx"));
}

TEST(EventText, UnseenCallSaysWhyAndNamesNoAddress) {
  const std::string text =
      to_text(without_call(sample_event(), "may not trace the caller (ptrace permission)"));
  EXPECT_TRUE(has(text, "alignfs: EINVAL: write of 1024 bytes at offset 100 on /db/wal by"))
      << text;
  EXPECT_TRUE(has(text, "\n  buffer not seen: may not trace the caller (ptrace permission)\n"));
  EXPECT_EQ(lines_of_rule(text, "memory"), 0);
  EXPECT_FALSE(has(text, "0x"));
}

TEST(EventText, AdaptedRequestsSayWhatWasDoneAndNeedNoOption) {
  Event event = sample_event();
  event.error = 0;
  event.action = Action::bounced;
  const std::string bounced = to_text(event);
  EXPECT_TRUE(bounced.starts_with("alignfs: bounced: pwrite(fd 3, ")) << bounced;
  EXPECT_TRUE(has(bounced, "nearest request that goes down as it is: 4096 bytes at offset 0"));
  EXPECT_FALSE(has(bounced, "unaligned=bounce"));
  event.action = Action::split;
  EXPECT_TRUE(to_text(event).starts_with("alignfs: split: pwrite("));
}

TEST(EventText, FallbackGivesItsReasonAndTheStrictOption) {
  Event event = sample_event();
  event.action = Action::fallback;
  event.error = 0;
  event.cause = Fallback::refused;
  EXPECT_EQ(to_text(event),
            "alignfs: fallback: O_DIRECT is refused: I/O goes through the page cache (/db/wal on "
            "vda, opened by python3[7318])\n"
            "  said once for each device; mount with -o require_direct to refuse such a backing");
}

TEST(EventText, UnknownProcessAndPathAreSaidToBeSo) {
  Event event = sample_event();
  event.process = {};
  event.path.clear();
  EXPECT_TRUE(headline(event).ends_with("on inode 12 by an unknown process"));
  event.process.pid = 5;
  EXPECT_TRUE(headline(event).ends_with("by process 5"));
}

TEST(EventText, HostileNamesCannotForgeLinesOrReachTheTerminal) {
  Event event = sample_event();
  event.path =
      "/a\nalignfs: EINVAL: forged\x1b[2J\xff\xc2\x9b"
      "1m\xe2\x80\xae\\";
  event.process.comm = "x\r\x07";
  const std::string text = to_text(event);
  const std::string plain = to_text(sample_event());
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'),
            std::count(plain.begin(), plain.end(), '\n'));
  for (const unsigned char byte : text) {
    EXPECT_TRUE(byte == '\n' || (byte >= 0x20 && byte < 0x7f)) << int(byte);
  }
  EXPECT_TRUE(has(text, R"(/a\x0aalignfs: EINVAL: forged\x1b[2J\xff\xc2\x9b1m\xe2\x80\xae\\)"));
  EXPECT_TRUE(has(text, R"(by x\x0d\x07[7318])"));
}

TEST(Printable, KeepsUtf8AndEscapesWhatIsNone) {
  const std::string greek = "/\xce\xb1/\xe2\x82\xac/\xf0\x9f\x98\x80";
  EXPECT_EQ(printable(greek), greek);
  EXPECT_EQ(harmless("a\\x1b\x1b[m"), R"(a\x1b\x1b[m)") << "what is escaped already stays";
  EXPECT_EQ(printable("\xc0\xaf"), R"(\xc0\xaf)") << "overlong";
  EXPECT_EQ(printable("\xe0\x80\xaf"), R"(\xe0\x80\xaf)") << "overlong";
  EXPECT_EQ(printable("\xed\xa0\x80"), R"(\xed\xa0\x80)") << "surrogate";
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), R"(\xf4\x90\x80\x80)") << "beyond U+10FFFF";
  EXPECT_EQ(printable(std::string_view("a\xe2\x82\xac").substr(0, 3)), R"(a\xe2\x82)")
      << "cut short";
  EXPECT_EQ(printable(std::string_view("\0", 1)), R"(\x00)");
}

struct Advice {
  Runtime runtime;
  std::string starts;
  std::vector<std::string> write;
  std::vector<std::string> read;
};

class AdviceFor : public testing::TestWithParam<Advice> {};

TEST_P(AdviceFor, UsesTheNumbersOfTheEventAndNamesTheOption) {
  for (const Direction direction : {Direction::write, Direction::read}) {
    Event event = refusal_of(sample_call(), sample_rules(), direction);
    event.process.runtime = GetParam().runtime;
    const std::string advice = advice_for(event);
    for (const std::string& part :
         direction == Direction::write ? GetParam().write : GetParam().read) {
      EXPECT_TRUE(has(advice, part)) << part << "\nin: " << advice;
    }
    EXPECT_TRUE(advice.ends_with("; or mount with -o unaligned=bounce")) << advice;
    EXPECT_EQ(advice.find('\n'), std::string::npos);
    EXPECT_TRUE(has(to_text(event), "\n  " + GetParam().starts + ": " + advice));
  }
}

INSTANTIATE_TEST_SUITE_P(
    EachRuntime, AdviceFor,
    testing::Values(
        Advice{Runtime::python,
               "python",
               {"mmap.mmap(-1, 4096)", "m[100:1124] = data", "os.pwrite(fd, "},
               {"mmap.mmap(-1, 4096)", "os.preadv(fd, [m], 0)", "m[100:1124]"}},
        Advice{Runtime::dd, "dd", {"bs=4096", "seek=", "fullblock"}, {"bs=4096", "skip="}},
        Advice{Runtime::fio,
               "fio",
               {"bs=4096", "blockalign=4096", "iomem_align=512"},
               {"bs=4096", "iomem_align=512"}},
        Advice{Runtime::c,
               "C",
               {"posix_memalign(&buf, 512, 4096)", "buf + 100", "pwrite(fd, buf, 4096, 0)"},
               {"pread(fd, buf, 4096, 0)", "take 1024 bytes from buf + 100"}},
        Advice{Runtime::java,
               "java",
               {"allocateDirect(8192).alignedSlice(4096).limit(4096)", "channel.write(b, 0)",
                "ExtendedOpenOption.DIRECT"},
               {"channel.read(b, 0)"}},
        Advice{Runtime::go,
               "go",
               {"unix.Mmap(-1, 0, 4096", "f.WriteAt(b[:4096], 0)"},
               {"f.ReadAt(b[:4096], 0)"}},
        Advice{Runtime::node,
               "node",
               {"native addon", "fs.writeSync(fd, buffer, 0, 4096, 0)"},
               {"fs.readSync(fd, buffer, 0, 4096, 0)"}}),
    [](const auto& info) { return std::string(name_of(info.param.runtime)); });

TEST(Advice, BoundariesBeyondAPageNeedMoreThanAMap) {
  Rules rules = sample_rules();
  rules.memory = {65536, Source::option};
  Event event = refusal_of(sample_call(), rules);
  EXPECT_TRUE(has(advice_for(event), "mmap.mmap(-1, 69632) that begins on a 65536-byte boundary"));
  event.process.runtime = Runtime::go;
  EXPECT_TRUE(has(advice_for(event), "make([]byte, 69632)"));
}

TEST(Advice, JavaWantsWholeFilesystemBlocks) {
  Event event = refusal_of(sample_call(), {{512, Source::statx}, {512, Source::statx}, {}});
  ASSERT_EQ(event.diagnosis.nearest_length, 1536U);
  event.process.runtime = Runtime::java;
  EXPECT_TRUE(has(advice_for(event), "allocateDirect(8192).alignedSlice(4096).limit(4096)"));
}

TEST(Advice, NodeMayKeepItsBufferWhereOnlyBlocksAreWrong) {
  Rules rules = sample_rules();
  rules.memory.bytes = 0;
  Event event = refusal_of(sample_call(), rules);
  event.process.runtime = Runtime::node;
  EXPECT_FALSE(has(advice_for(event), "addon"));
}

}  // namespace
}  // namespace alignfs
