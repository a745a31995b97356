#include "alignfs/io/fault_guard.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "alignfs/base/alignment.h"
#include "alignfs/base/unique_fd.h"

namespace alignfs {
namespace {

constexpr std::size_t kPages = 8;
constexpr std::size_t kSize = kPages * kPageSize;

std::string numbered(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = char(1 + i % 251);
  return text;
}

std::byte* bytes(std::string& text) { return reinterpret_cast<std::byte*>(text.data()); }

/// A file of eight pages in memory and a mapping of all of it.
class FaultGuard : public testing::Test {
 protected:
  FaultGuard() : file_(::memfd_create("file", MFD_CLOEXEC)) {
    install_fault_guard();
    EXPECT_EQ(::ftruncate(file_.get(), kSize), 0);
    void* map = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
    EXPECT_NE(map, MAP_FAILED);
    map_ = static_cast<std::byte*>(map);
  }
  ~FaultGuard() override { ::munmap(map_, kSize); }

  void fill() { EXPECT_EQ(::pwrite(file_.get(), content_.data(), kSize, 0), ssize_t{kSize}); }
  void cut(std::size_t size) { EXPECT_EQ(::ftruncate(file_.get(), off_t(size)), 0); }

  const std::string content_ = numbered(kSize);
  UniqueFd file_;
  std::byte* map_ = nullptr;
};

TEST_F(FaultGuard, CopiesLikeMemcpyWhereNoPageIsMissing) {
  fill();
  for (const std::size_t offset : {0UL, 1UL, 4095UL, 4096UL, 10'000UL}) {
    for (const std::size_t size : {0UL, 1UL, 4096UL, 5000UL, kSize - 10'000}) {
      std::string into(size + 2, '!');
      ASSERT_EQ(copy_guarded(bytes(into) + 1, map_ + offset, size), size);
      EXPECT_EQ(into.substr(1, size), content_.substr(offset, size));
      EXPECT_EQ(into.front(), '!');
      EXPECT_EQ(into.back(), '!');
    }
  }
}

TEST_F(FaultGuard, ACopyFromTheFileStopsAtThePageThatIsGone) {
  fill();
  cut(3 * kPageSize + 100);  // the fourth page is there, with zeroes behind the end
  std::string into(kSize + kPageSize, '!');
  auto* target = bytes(into);
  target += align_up(reinterpret_cast<std::uintptr_t>(target), kPageSize) -
            reinterpret_cast<std::uintptr_t>(target);
  EXPECT_EQ(copy_guarded(target, map_, kSize), 4 * kPageSize);
  const std::string_view got(reinterpret_cast<const char*>(target), 4 * kPageSize);
  EXPECT_EQ(got.substr(0, 3 * kPageSize + 100), content_.substr(0, 3 * kPageSize + 100));
  EXPECT_EQ(got.find_first_not_of('\0', 3 * kPageSize + 100), got.npos);
  EXPECT_EQ(copy_guarded(target, map_ + 4 * kPageSize, 10), 0U);
  EXPECT_EQ(copy_guarded(target, map_ + 7 * kPageSize, kPageSize), 0U);
}

TEST_F(FaultGuard, WhatItSaysWasCopiedFromTheFileWasCopied) {
  fill();
  cut(3 * kPageSize);
  for (std::size_t past = 0; past < kPageSize; past += 37) {
    std::string into(kSize, '!');
    const auto done = copy_guarded(bytes(into) + past, map_ + 100, kSize - kPageSize);
    ASSERT_EQ(done, 3 * kPageSize - 100) << "all before the page that is gone";
    ASSERT_EQ(into.substr(past, done), content_.substr(100, done));
  }
}

TEST_F(FaultGuard, ThreadsFaultEachOnItsOwn) {
  fill();
  std::atomic<bool> stop{false};
  std::atomic<unsigned> wrong{0}, stopped{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      std::string buffer(kSize, '\0');
      while (!stop) {
        const auto done = copy_guarded(bytes(buffer), map_, kSize);
        stopped += done < kSize;
        for (std::size_t at = 0; at < done; ++at) {
          wrong += buffer[at] != '\0' && buffer[at] != content_[at];
        }
      }
    });
  }
  // For as long as it takes them to get a turn.
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (unsigned i = 0; i < 3000 || stopped < 100; ++i) {
    if (i % 1000 == 0 && std::chrono::steady_clock::now() > patience) break;
    cut(i * 1237 % kSize);
    cut(kSize);
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0U);
  EXPECT_GE(stopped, 100U);
}

class FaultGuardDeathTest : public FaultGuard {
 protected:
  FaultGuardDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
  /// Touches a page that is gone, with nobody to guard it.
  void touch() { *const_cast<volatile std::byte*>(map_ + kPageSize); }
};

TEST_F(FaultGuardDeathTest, AFaultOutsideOfACopyEndsTheProcess) {
  cut(0);
  EXPECT_EXIT(
      {
        touch();
        ::_exit(0);
      },
      testing::KilledBySignal(SIGBUS), "");
}

TEST_F(FaultGuardDeathTest, AFaultAfterAGuardedOneEndsTheProcess) {
  cut(0);
  EXPECT_EXIT(
      {
        std::string into(10, '!');
        if (copy_guarded(bytes(into), map_, 10) != 0) ::_exit(1);
        touch();
        ::_exit(0);
      },
      testing::KilledBySignal(SIGBUS), "");
}

TEST_F(FaultGuardDeathTest, AFaultBesideACopyOfAnotherThreadEndsTheProcess) {
  fill();
  EXPECT_EXIT(
      {
        std::atomic<bool> copying{false};
        std::thread copier([&] {
          std::string into(kSize, '!');
          while (true) copying = copy_guarded(bytes(into), map_, kPageSize) == kPageSize;
        });
        while (!copying) {
        }
        cut(kPageSize);
        touch();
        ::_exit(0);
      },
      testing::KilledBySignal(SIGBUS), "");
}

TEST_F(FaultGuardDeathTest, ASignalThatSomebodySentEndsTheProcess) {
  EXPECT_EXIT(
      {
        ::raise(SIGBUS);
        ::_exit(0);
      },
      testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace alignfs
