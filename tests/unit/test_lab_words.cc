#include "alignfs/ctl/lab/words.h"

#include <gtest/gtest.h>

#include "alignfs/ctl/commands.h"

namespace alignfs::ctl::lab {
namespace {

using Words = std::vector<std::string>;

/// What the CommandError of `call` says; "" if it throws none.
template <typename Call>
std::string complaint_of(Call call) {
  try {
    call();
  } catch (const CommandError& error) {
    return error.what();
  }
  return "";
}

TEST(LabWords, AreSplitAtBlanksWithQuotesAndComments) {
  EXPECT_EQ(split_words("  write\t1000  @512 \r\n"), (Words{"write", "1000", "@512"}));
  EXPECT_EQ(split_words(R"(poke 3 "a b" 'c"d' e"f g"h)"),
            (Words{"poke", "3", "a b", "c\"d", "ef gh"}));
  EXPECT_EQ(split_words(R"(poke 3 "")"), (Words{"poke", "3", ""}));
  EXPECT_EQ(split_words("read 1 # a comment"), (Words{"read", "1"}));
  EXPECT_EQ(split_words("poke 3 a#b"), (Words{"poke", "3", "a#b"}));
  EXPECT_EQ(split_words("# nothing"), Words{});
  EXPECT_NE(complaint_of([] { split_words("poke 3 \"a"); }), "");
}

TEST(LabWords, NumbersHaveUnitsAndABound) {
  EXPECT_EQ(parse_bytes("0", "length"), 0u);
  EXPECT_EQ(parse_bytes("1000", "length"), 1000u);
  EXPECT_EQ(parse_bytes("0x200", "length"), 512u);
  EXPECT_EQ(parse_bytes("4k", "length"), 4096u);
  EXPECT_EQ(parse_bytes("3M", "length"), 3u << 20U);
  EXPECT_EQ(parse_bytes("2g", "length"), 2ull << 30U);
  EXPECT_EQ(parse_bytes("9223372036854775807", "offset"), kMaxOffset);
  for (const char* wrong : {"", "k", "1kk", "x", "-1", "1.5", "1 ", "0x", "+1", "5z"}) {
    const auto complaint = complaint_of([&] { parse_bytes(wrong, "length"); });
    EXPECT_NE(complaint.find("is no length"), complaint.npos) << wrong << ": " << complaint;
  }
  for (const char* large : {"9223372036854775808", "99999999999999999999", "8589934592g"}) {
    const auto complaint = complaint_of([&] { parse_bytes(large, "offset"); });
    EXPECT_NE(complaint.find("largest offset"), complaint.npos) << large << ": " << complaint;
  }
}

TEST(LabWords, ARequestTakesItsOptionsInAnyOrder) {
  for (const Words& words :
       {Words{"1000", "@512", "mem+16", "x8"}, {"x8", "mem+16", "@512", "1000"}}) {
    const auto request = parse_request(Direction::write, words);
    EXPECT_EQ(request.direction, Direction::write);
    EXPECT_EQ(request.pieces, (std::vector<Piece>{{1000, 16}}));
    EXPECT_EQ(request.offset, 512u);
    EXPECT_EQ(request.times, 8u);
    EXPECT_FALSE(request.vector);
  }
  const auto plain = parse_request(Direction::read, {"4k"});
  EXPECT_EQ(plain.offset, 0u);
  EXPECT_EQ(plain.times, 1u);
  EXPECT_EQ(plain.pieces[0].past_page, 0u);
}

TEST(LabWords, AVectorHasAnAddressASegment) {
  const auto request = parse_vector(Direction::read, {"512,4k+16,100", "@8k"});
  EXPECT_TRUE(request.vector);
  EXPECT_EQ(request.pieces, (std::vector<Piece>{{512, 0}, {4096, 16}, {100, 0}}));
  EXPECT_EQ(request.offset, 8192u);
  EXPECT_EQ(request.bytes(), 4708u);
  EXPECT_NE(complaint_of([] { parse_vector(Direction::read, {"512", "mem+16"}); }), "");
  EXPECT_NE(complaint_of([] { parse_vector(Direction::read, {"512,,512"}); }), "");
  std::string many = "1";
  for (int i = 0; i < 1024; ++i) many += ",1";
  EXPECT_NE(complaint_of([&] { parse_vector(Direction::read, {many}); }), "");
}

TEST(LabWords, WhatCannotBeIsNamed) {
  const auto complaint = [](const Words& words) {
    return complaint_of([&] { parse_request(Direction::write, words); });
  };
  EXPECT_NE(complaint({}).find("how many"), std::string::npos);
  EXPECT_NE(complaint({"4k", "at512"}).find("'at512'"), std::string::npos);
  EXPECT_NE(complaint({"4k", "8k"}).find("'8k'"), std::string::npos);
  EXPECT_NE(complaint({"4k", "x0"}).find("x0"), std::string::npos);
  EXPECT_NE(complaint({"4k", "x1000001"}), "");
  EXPECT_NE(complaint({"4k", "@9223372036854775807"}).find("past the largest"), std::string::npos);
  EXPECT_EQ(complaint({"0", "@9223372036854775807"}), "");
  EXPECT_NE(complaint({"8k", "@9223372036854767616", "x2"}), "");
}

TEST(LabWords, ASweepVariesOneThing) {
  const auto sweep = parse_sweep({"write", "mem", "0..512", "step", "64", "1000", "@4k"});
  EXPECT_EQ(sweep.varies, Sweep::Varies::memory);
  EXPECT_EQ(sweep.to, 512u);
  EXPECT_EQ(sweep.step, 64u);
  EXPECT_EQ(sweep.at(128).pieces, (std::vector<Piece>{{1000, 128}}));
  EXPECT_EQ(sweep.at(128).offset, 4096u);
  const auto offsets = parse_sweep({"read", "offset", "1k..4k", "step", "512", "4k", "mem+8"});
  EXPECT_EQ(offsets.at(1536).offset, 1536u);
  EXPECT_EQ(offsets.at(1536).pieces, (std::vector<Piece>{{4096, 8}}));
  EXPECT_EQ(parse_sweep({"read", "length", "0..1k", "step", "1"}).at(7).pieces[0].bytes, 7u);
}

TEST(LabWords, ASweepThatGoesNowhereIsRefused) {
  const auto complaint = [](const Words& words) {
    return complaint_of([&] { parse_sweep(words); });
  };
  EXPECT_NE(complaint({"write"}), "");
  EXPECT_NE(complaint({"copy", "mem", "0..512", "step", "64"}).find("'copy'"), std::string::npos);
  EXPECT_NE(complaint({"read", "phase", "0..512", "step", "64"}).find("'phase'"),
            std::string::npos);
  EXPECT_NE(complaint({"read", "mem", "512", "step", "64"}).find("range"), std::string::npos);
  EXPECT_NE(complaint({"read", "mem", "512..0", "step", "64"}).find("nowhere"), std::string::npos);
  EXPECT_NE(complaint({"read", "mem", "0..512", "step", "0"}).find("nowhere"), std::string::npos);
  EXPECT_NE(complaint({"read", "mem", "0..1g", "step", "1"}).find("rows"), std::string::npos);
  EXPECT_NE(complaint({"read", "mem", "0..512", "step", "64", "1k", "x2"}).find("once"),
            std::string::npos);
}

}  // namespace
}  // namespace alignfs::ctl::lab
