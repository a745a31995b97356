#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "mount/support/fd.h"
#include "mount/support/modes.h"

namespace alignfs::test {

/// What a RandomProgram may do and expect.
struct Surroundings {
  /// Now and then somebody changes the backing file beside the mount. For mounts with
  /// attr_timeout=0: what the kernel knows must not be older than that change.
  bool outsider = false;
  /// A map of a file on the mount is one of the backing file, so that stores are seen there at
  /// once. Otherwise they wait in the page cache of the mount for fsync.
  bool maps_of_backing = true;
};

/// A program that does random things to one file on a mount and knows what it must hold. What it
/// does depends on the seed alone. Not thread-safe.
class RandomProgram {
 public:
  /// The file is `mounted` on a mount in `mode`, and `backing` below it. It is made.
  RandomProgram(std::string mounted, std::string backing, const Mode& mode,
                const Surroundings& surroundings, std::uint64_t seed);
  ~RandomProgram();
  RandomProgram(const RandomProgram&) = delete;
  RandomProgram& operator=(const RandomProgram&) = delete;

  /// Makes `steps` operations, fewer if something is wrong. After each the size is looked at, on
  /// both sides; after some the content of the backing file.
  void run(unsigned steps);

  /// "" if all went well, else what went wrong, with the operations that led to it.
  std::string complaint() const;

 private:
  std::uint64_t below(std::uint64_t limit) { return limit == 0 ? 0 : random_() % limit; }
  std::size_t some_length();
  std::size_t some_offset();
  bool some_place(std::size_t* offset, std::size_t* length);

  void step();
  void write();
  void append();
  void read();
  void truncate();
  void allocate();
  void sync();
  void reopen();
  void map();
  void unmap();
  bool place_in_map(std::size_t* offset, std::size_t* length);
  void store();
  void load();
  void copy();
  void seek();
  void change_from_outside();

  std::string_view part(std::size_t offset, std::size_t length) const;
  void put(std::size_t offset, std::string_view bytes);
  void bring_stores_to_backing();
  void check_sizes();
  void check_backing();
  void expect(long result, long wanted);
  void compare(std::string_view bytes, std::string_view expected);
  void complain(const std::string& what);
  void note(const std::string& what, std::size_t offset, std::size_t length);

  const std::string mounted_, backing_;
  const Mode mode_;
  const Surroundings surroundings_;
  const std::size_t unit_;  ///< of offsets and lengths, where the mount is strict
  std::mt19937_64 random_;
  std::string model_;
  Fd fd_;
  char* map_ = nullptr;
  std::size_t mapped_ = 0;
  std::vector<std::string> history_;
  std::string complaint_;
};

/// Runs a dozen of them one after the other, each on a file of its own, with the same seeds each
/// time or with the one that the environment variable ALIGNFS_SEED names. "" if all went well, else
/// the first complaint with its seed.
std::string run_random_programs(const std::string& mounted, const std::string& backing,
                                const Mode& mode, const Surroundings& surroundings);

}  // namespace alignfs::test
