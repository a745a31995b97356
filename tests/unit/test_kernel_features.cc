#include "alignfs/fuse/kernel_features.h"

#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

namespace alignfs::kernel {
namespace {

template <typename Body>
std::vector<std::byte> message(std::uint32_t opcode, const Body& body) {
  fuse_in_header header{};
  header.opcode = opcode;
  header.len = sizeof header + sizeof body;
  std::vector<std::byte> bytes(header.len);
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, &body, sizeof body);
  return bytes;
}

std::uint32_t opcode_of(const std::vector<std::byte>& bytes) {
  fuse_in_header header{};
  std::memcpy(&header, bytes.data(), sizeof header);
  return header.opcode;
}

/// What send_reply() makes of a reply with `body`.
template <typename Body>
Body sent(Body body) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  fuse_out_header header{};
  std::array<iovec, 2> parts = {{{&header, sizeof header}, {&body, sizeof body}}};
  const Body before = body;
  EXPECT_EQ(send_reply(ends[1], parts.data(), 2, nullptr), ssize_t(sizeof header + sizeof body));
  EXPECT_EQ(std::memcmp(&before, &body, sizeof body), 0) << "libfuse's memory was changed";
  std::array<std::byte, sizeof header + sizeof body> got{};
  EXPECT_EQ(::read(ends[0], got.data(), got.size()), ssize_t(got.size()));
  ::close(ends[0]);
  ::close(ends[1]);
  Body result{};
  std::memcpy(&result, got.data() + sizeof header, sizeof result);
  return result;
}

struct OpenReply {
  std::uint64_t fh = 7;
  std::uint32_t open_flags = 1;
  std::int32_t backing_id = 0;
};

struct CreateReply {
  std::array<char, 128> entry{};
  OpenReply open;
};

struct InitReply {
  std::uint32_t major = 7, minor = 38, max_readahead = 0, flags = 0;
  std::uint16_t max_background = 0, congestion_threshold = 0;
  std::uint32_t max_write = 0, time_gran = 0;
  std::uint16_t max_pages = 255, map_alignment = 0;
  std::uint32_t flags2 = 0, max_stack_depth = 0;
  std::array<std::uint32_t, 6> unused{};
};

void offer(std::uint64_t flags) {
  fuse_init_in in{};
  in.flags = std::uint32_t(flags);
  in.flags2 = std::uint32_t(flags >> 32);
  auto bytes = message(FUSE_INIT, in);
  prepare_request(bytes);
}

constexpr std::uint64_t kEverything = ~std::uint64_t{0};
constexpr std::uint32_t kMmapBit = 1U << 4;         // 36 - 32
constexpr std::uint32_t kPassthroughBit = 1U << 5;  // 37 - 32
constexpr std::uint32_t kIoUringBit = 1U << 9;      // 41 - 32

TEST(KernelFeatures, TmpfileReachesLibfuseAsCreate) {
  auto bytes = message(51, fuse_create_in{});
  prepare_request(bytes);
  EXPECT_EQ(opcode_of(bytes), std::uint32_t(FUSE_CREATE));
  EXPECT_TRUE(current_request().tmpfile);
  auto create = message(FUSE_CREATE, fuse_create_in{});
  prepare_request(create);
  EXPECT_FALSE(current_request().tmpfile);
}

TEST(KernelFeatures, WritesTellWhetherSetuidMustGo) {
  fuse_write_in in{};
  in.write_flags = FUSE_WRITE_KILL_SUIDGID;
  auto bytes = message(FUSE_WRITE, in);
  prepare_request(bytes);
  EXPECT_TRUE(current_request().kill_suidgid);
  in.write_flags = 0;
  bytes = message(FUSE_WRITE, in);
  prepare_request(bytes);
  EXPECT_FALSE(current_request().kill_suidgid);
}

TEST(KernelFeatures, LongSetxattrRequestsAreShortened) {
  offer(kEverything);
  Features features;
  features.max_request = 255 * 4096;
  request_features(features, false, false);
  EXPECT_NE(sent(InitReply{}).flags & 1U << 29, 0U);
  struct Body {
    std::uint32_t size = 5, flags = 6, setxattr_flags = 1, padding = 0;
    std::array<char, 8> name_and_value = {'n', 'a', 'm', 'e', 0, 'v', 'a', 'l'};
  };
  auto bytes = message(FUSE_SETXATTR, Body{});
  const auto shorter = prepare_request(bytes);
  EXPECT_TRUE(current_request().acl_kills_sgid);
  ASSERT_EQ(shorter.size(), bytes.size() - 8);
  fuse_in_header header{};
  std::memcpy(&header, shorter.data(), sizeof header);
  EXPECT_EQ(header.len, shorter.size());
  EXPECT_EQ(header.opcode, std::uint32_t(FUSE_SETXATTR));
  std::array<std::uint32_t, 2> fields{};
  std::memcpy(fields.data(), shorter.data() + sizeof header, sizeof fields);
  EXPECT_EQ(fields[0], 5U);
  EXPECT_EQ(fields[1], 6U);
  EXPECT_EQ(std::memcmp(shorter.data() + sizeof header + sizeof fields, "name\0val", 8), 0);
}

TEST(KernelFeatures, TruncatedRequestsAreLeftAlone) {
  auto bytes = message(FUSE_WRITE, fuse_write_in{});
  bytes.resize(sizeof(fuse_in_header) + 3);
  prepare_request(bytes);
  EXPECT_FALSE(current_request().kill_suidgid);
  bytes.resize(5);
  prepare_request(bytes);
}

TEST(KernelFeatures, OpenRepliesGetFlagsWithinTheScopeAlone) {
  {
    const OpenReplyScope scope(42);
    const auto reply = sent(OpenReply{});
    EXPECT_EQ(reply.open_flags, 1U | 1U << 6 | 1U << 7);
    EXPECT_EQ(reply.backing_id, 42);
    EXPECT_EQ(reply.fh, 7U);
  }
  EXPECT_EQ(sent(OpenReply{}).open_flags, 1U);
}

TEST(KernelFeatures, WithoutABackingIdThereIsNoPassthrough) {
  const OpenReplyScope scope(0);
  EXPECT_EQ(sent(OpenReply{}).open_flags, 1U | 1U << 6);
}

TEST(KernelFeatures, CreateRepliesArePatchedAtTheirEnd) {
  const OpenReplyScope scope(9);
  const auto reply = sent(CreateReply{});
  EXPECT_EQ(reply.open.backing_id, 9);
  EXPECT_EQ(reply.entry, CreateReply{}.entry);
}

TEST(KernelFeatures, InitGetsOneSparePageAndWhatWasOffered) {
  offer(kEverything);
  Features features;
  features.max_request = 255 * 4096;
  request_features(features, true, false);
  EXPECT_TRUE(features.direct_io_mmap);
  EXPECT_TRUE(features.passthrough);
  const auto reply = sent(InitReply{});
  EXPECT_EQ(reply.max_pages, 256);
  EXPECT_EQ(reply.flags2 & (kMmapBit | kPassthroughBit), kMmapBit | kPassthroughBit);
  EXPECT_GT(reply.max_stack_depth, 0U);
  EXPECT_EQ(sent(InitReply{}).flags2, 0U) << "a later reply was patched too";
}

TEST(KernelFeatures, NothingIsSetThatWasNotOffered) {
  offer(kEverything & ~(1ULL << 36) & ~(1ULL << 37));
  Features features;
  features.max_request = 255 * 4096;
  request_features(features, true, false);
  EXPECT_FALSE(features.direct_io_mmap);
  EXPECT_FALSE(features.passthrough);
  const auto reply = sent(InitReply{});
  EXPECT_EQ(reply.flags2 & (kMmapBit | kPassthroughBit), 0U);
  EXPECT_EQ(reply.max_stack_depth, 0U);
}

TEST(KernelFeatures, PassthroughIsNotAskedForWithoutTheRightToIt) {
  offer(kEverything);
  Features features;
  features.max_request = 255 * 4096;
  request_features(features, false, false);
  EXPECT_FALSE(features.passthrough);
  EXPECT_EQ(sent(InitReply{}).flags2 & kPassthroughBit, 0U);
}

TEST(KernelFeatures, IoUringIsAskedForWhereItIsWantedAndOffered) {
  Features features;
  features.max_request = 255 * 4096;
  offer(kEverything);
  request_features(features, false, true);
  EXPECT_TRUE(features.over_io_uring);
  EXPECT_EQ(sent(InitReply{}).flags2 & kIoUringBit, kIoUringBit);
  offer(kEverything);
  request_features(features, false, false);
  EXPECT_FALSE(features.over_io_uring);
  EXPECT_EQ(sent(InitReply{}).flags2 & kIoUringBit, 0U);
  offer(kEverything & ~(1ULL << 41));
  request_features(features, false, true);
  EXPECT_FALSE(features.over_io_uring);
  EXPECT_EQ(sent(InitReply{}).flags2 & kIoUringBit, 0U);
}

TEST(KernelFeatures, ReadsTakeThePageInReserveWhereThatMakesOneRequestOfAPowerOfTwo) {
  constexpr std::size_t kMiB = 1 << 20;
  EXPECT_EQ(choose_max_read(kMiB - 4096, 512, false), kMiB);
  EXPECT_EQ(choose_max_read(kMiB - 4096, 512, true), kMiB - 4096);
  EXPECT_EQ(choose_max_read(kMiB - 65536, 65536, false), kMiB - 65536);
  // A cut that is not in the middle of a block is worth more than a page.
  EXPECT_EQ(choose_max_read(kMiB, 512, false), kMiB);
}

}  // namespace
}  // namespace alignfs::kernel
