#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace alignfs::test {

/// `bytes` bytes that differ from their neighbours and between seeds, so that a shifted or stale
/// block shows.
std::string pattern(std::size_t bytes, std::uint64_t seed);

/// Success if both are equal; else a message of one line, whatever the size: both sizes, where the
/// first difference lies and how many bytes differ.
::testing::AssertionResult same_bytes(std::string_view actual, std::string_view expected);

}  // namespace alignfs::test
