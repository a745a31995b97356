// One place of a queue of FUSE over io_uring. The kernel's part is played by the test: it writes
// what a request looks like there, and reads the answer.

#include "alignfs/fuse/ring_entry.h"

#include <gtest/gtest.h>
#include <linux/fuse.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "alignfs/base/alignment.h"

namespace alignfs {
namespace {

constexpr std::size_t kPayload = 64 * 1024;
// struct fuse_uring_req_header: two headers of 128 bytes, then flags, commit id, payload's size.
constexpr std::size_t kOperation = 128, kCommitId = 256 + 8, kPayloadSize = 256 + 16;

struct Recorder final : RingEntry::Server {
  void arrived(RingEntry&) override { ++arrivals; }
  void answered(RingEntry&) override { ++answers; }
  void lost(RingEntry&, int error) override { lost_by = error; }
  int arrivals = 0, answers = 0, lost_by = 0;
};

class RingEntryTest : public testing::Test {
 protected:
  RingEntryTest() {
    auto lease = pool_.acquire();
    memory_ = lease.data();
    entry_ = std::make_unique<RingEntry>(server_, 3, std::move(lease), kPayload);
  }

  template <typename Value>
  void put(std::size_t at, const Value& value) {
    std::memcpy(memory_ + at, &value, sizeof value);
  }
  template <typename Value>
  Value at(std::size_t place) const {
    Value value;
    std::memcpy(&value, memory_ + place, sizeof value);
    return value;
  }

  void complete(int result) { static_cast<UringEngine::Guest&>(*entry_).completed(result); }
  /// A request as the kernel puts it there.
  void send(std::uint64_t unique, const std::string& operation, const std::string& payload,
            int missing = 0) {
    fuse_in_header header{};
    header.len = std::uint32_t(sizeof header + operation.size() + payload.size() - missing);
    header.opcode = FUSE_WRITE;
    header.unique = unique;
    put(0, header);
    std::memcpy(memory_ + kOperation, operation.data(), operation.size());
    put(kCommitId, unique);
    put(kPayloadSize, std::uint32_t(payload.size()));
    std::memcpy(memory_ + kPageSize, payload.data(), payload.size());
    complete(0);
  }
  fuse_in_header header_of_message() const {
    fuse_in_header header;
    std::memcpy(&header, entry_->message().data(), sizeof header);
    return header;
  }
  /// Answers as libfuse does, by the name that it was given.
  bool answer(int error, std::vector<std::span<const std::byte>> data = {}) {
    fuse_out_header out{sizeof out, error, header_of_message().unique};
    std::vector<iovec> parts = {{&out, sizeof out}};
    for (const auto& part : data) {
      parts.push_back({const_cast<std::byte*>(part.data()), part.size()});
    }
    return RingEntry::take_answer(parts);
  }

  BufferPool pool_{RingEntry::buffer_size(kPayload), 1};
  Recorder server_;
  std::byte* memory_ = nullptr;
  std::unique_ptr<RingEntry> entry_;
};

TEST_F(RingEntryTest, MessagesLieAsReadGivesThem) {
  const std::string operation(40, 'o'), payload(5000, 'p');
  send(12, operation, payload);
  EXPECT_EQ(server_.arrivals, 1);
  const auto message = entry_->message();
  ASSERT_EQ(message.size(), sizeof(fuse_in_header) + 40 + 5000);
  EXPECT_EQ(header_of_message().opcode, std::uint32_t(FUSE_WRITE));
  const std::string bytes(reinterpret_cast<const char*>(message.data()), message.size());
  EXPECT_EQ(bytes.substr(sizeof(fuse_in_header)), operation + payload);
  // Fit for direct I/O without a copy.
  EXPECT_EQ(
      reinterpret_cast<std::uintptr_t>(message.data() + sizeof(fuse_in_header) + 40) % kPageSize,
      0U);
}

TEST_F(RingEntryTest, AnOperationWithoutHeaderHasItsNameAtOnce) {
  send(12, "", std::string("name\0", 5));
  const auto message = entry_->message();
  ASSERT_EQ(message.size(), sizeof(fuse_in_header) + 5);
  EXPECT_EQ(std::memcmp(message.data() + sizeof(fuse_in_header), "name", 5), 0);
}

TEST_F(RingEntryTest, AnswersGoBackUnderTheKernelsName) {
  send(12, std::string(40, 'o'), "");
  EXPECT_NE(header_of_message().unique, 12U);
  const std::string data = "the answer";
  EXPECT_TRUE(answer(
      0, {std::as_bytes(std::span(data).first(4)), std::as_bytes(std::span(data).subspan(4))}));
  EXPECT_EQ(server_.answers, 1);
  EXPECT_EQ(at<fuse_out_header>(0).unique, 12U);
  EXPECT_EQ(at<fuse_out_header>(0).error, 0);
  EXPECT_EQ(at<std::uint32_t>(kPayloadSize), data.size());
  EXPECT_EQ(std::memcmp(memory_ + kPageSize, data.data(), data.size()), 0);
}

TEST_F(RingEntryTest, ErrorsGoBackWithoutData) {
  send(12, std::string(40, 'o'), "payload");
  EXPECT_TRUE(answer(-ENOSPC));
  EXPECT_EQ(at<fuse_out_header>(0).error, -ENOSPC);
  EXPECT_EQ(at<std::uint32_t>(kPayloadSize), 0U);
}

TEST_F(RingEntryTest, WhatWasReadBehindTheHeadOfABlockMovesToItsPlace) {
  send(12, std::string(40, 'o'), "");
  const auto room = entry_->room();
  ASSERT_EQ(room.size(), kPayload);
  for (std::size_t i = 0; i < room.size(); ++i) room[i] = std::byte(i * 7 / 5);
  const std::vector<std::byte> wanted(room.begin() + 100, room.begin() + 30'000);
  EXPECT_TRUE(answer(0, {room.subspan(100, 29'900)}));
  EXPECT_EQ(std::memcmp(memory_ + kPageSize, wanted.data(), wanted.size()), 0);
}

TEST_F(RingEntryTest, AnAnswerThatDoesNotFitIsAnError) {
  send(12, std::string(40, 'o'), "");
  const std::vector<std::byte> half(kPayload / 2 + 1);
  EXPECT_TRUE(answer(0, {half, half}));
  EXPECT_EQ(at<fuse_out_header>(0).error, -EIO);
  EXPECT_EQ(at<std::uint32_t>(kPayloadSize), 0U);
}

TEST_F(RingEntryTest, WhatMakesNoMessageIsAnsweredAllTheSame) {
  for (const int missing : {41, -200}) {
    send(12, std::string(40, 'o'), "", missing);
    EXPECT_EQ(at<fuse_out_header>(0).error, -EIO);
    EXPECT_EQ(at<fuse_out_header>(0).unique, 12U);
    EXPECT_TRUE(entry_->message().empty());
  }
  put(kPayloadSize, std::uint32_t(kPayload + 1));
  complete(0);
  EXPECT_EQ(server_.arrivals, 0);
  EXPECT_EQ(server_.answers, 3);
}

TEST_F(RingEntryTest, OtherAnswersAreNotTaken) {
  fuse_out_header notification{sizeof notification, FUSE_NOTIFY_POLL, 0};
  const iovec part{&notification, sizeof notification};
  EXPECT_FALSE(RingEntry::take_answer({&part, 1}));
  notification.unique = 1234;
  EXPECT_FALSE(RingEntry::take_answer({&part, 1}));
}

TEST_F(RingEntryTest, IsFoundByTheKernelsNameOnceItIsKnownAndWhileItIsServed) {
  EXPECT_EQ(entry_->known_name(0), 0U);
  send(12, std::string(40, 'o'), "");
  const auto first = header_of_message().unique;
  EXPECT_EQ(entry_->known_name(12), 0U);
  entry_->now_known(entry_->count());
  EXPECT_EQ(entry_->known_name(12), first);
  EXPECT_EQ(entry_->known_name(14), 0U);
  const auto count = entry_->count();
  send(14, std::string(40, 'o'), "");
  // A name is used once, and who was late with the one before tells nothing of this one.
  EXPECT_NE(header_of_message().unique, first);
  entry_->now_known(count);
  EXPECT_EQ(entry_->known_name(12), 0U);
  EXPECT_EQ(entry_->known_name(14), 0U);
  entry_->now_known(entry_->count());
  EXPECT_EQ(entry_->known_name(14), header_of_message().unique);
}

TEST_F(RingEntryTest, IsToldWhyTheKernelGaveItUp) {
  complete(-ENOTCONN);
  EXPECT_EQ(server_.lost_by, ENOTCONN);
  EXPECT_EQ(server_.arrivals, 0);
}

}  // namespace
}  // namespace alignfs
