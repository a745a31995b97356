#include "alignfs/fuse/page_limit.h"

#include <gtest/gtest.h>

namespace alignfs::kernel {
namespace {

TEST(PageLimit, RequestsAreWholeBlocksAndLeaveAPageInReserve) {
  const auto pages = choose_max_request(512);
  EXPECT_EQ(pages % 4096, 0U);
  EXPECT_EQ(choose_max_request(4096), pages);
  EXPECT_EQ(choose_max_request(65536) % 65536, 0U);
  EXPECT_LE(choose_max_request(65536), pages);
  EXPECT_GE(pages, 31U * 4096);
}

TEST(PageLimit, WhatIsChosenCanBeHad) {
  EXPECT_TRUE(check_max_request(choose_max_request(4096)));
  const RaisedPageLimit raised(choose_max_request(4096));
  EXPECT_TRUE(raised.status());
}

}  // namespace
}  // namespace alignfs::kernel
