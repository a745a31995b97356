#include "mount/support/random_program.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "mount/support/buffer.h"
#include "mount/support/bytes.h"

namespace alignfs::test {
namespace {

constexpr std::size_t kMostBytes = 3 << 20;

}  // namespace

RandomProgram::RandomProgram(std::string mounted, std::string backing, const Mode& mode,
                             const Surroundings& surroundings, std::uint64_t seed)
    : mounted_(std::move(mounted)),
      backing_(std::move(backing)),
      mode_(mode),
      surroundings_(surroundings),
      unit_(mode.strict ? 4096 : 1),
      random_(seed) {
  reopen();
}

RandomProgram::~RandomProgram() { unmap(); }

void RandomProgram::run(unsigned steps) {
  for (unsigned i = 0; i < steps && complaint_.empty(); ++i) {
    step();
    check_sizes();
    if (i % 50 == 49 || i + 1 == steps) check_backing();
  }
}

std::string RandomProgram::complaint() const {
  if (complaint_.empty()) return "";
  std::string text = complaint_ + "; the last operations:";
  const std::size_t shown = std::min<std::size_t>(history_.size(), 25);
  for (std::size_t i = history_.size() - shown; i < history_.size(); ++i) {
    text += "\n  " + history_[i];
  }
  return text;
}

/// Small, around a block, around a page cache's worth, or larger than one request.
std::size_t RandomProgram::some_length() {
  switch (below(8)) {
    case 0: return 1 + below(16);
    case 1: return 4090 + below(12);
    case 2: return 4096 * (1 + below(8));
    case 3: return 1'040'000 + below(200'000);
    default: return 1 + below(30'000);
  }
}

/// Anywhere in the file, with a liking for its end and for blocks, and sometimes behind.
std::size_t RandomProgram::some_offset() {
  const std::size_t size = model_.size();
  switch (below(8)) {
    case 0: return size;
    case 1: return size - std::min<std::size_t>(size, below(5000));
    case 2: return size + below(20'000);
    case 3: return below(size + 1) / 4096 * 4096;
    default: return below(size + 1);
  }
}

/// A part of the file, as a strict mount wants it; false if there is no room for one.
bool RandomProgram::some_place(std::size_t* offset, std::size_t* length) {
  *offset = some_offset() / unit_ * unit_;
  *length = (some_length() + unit_ - 1) / unit_ * unit_;
  return *offset + *length <= kMostBytes;
}

void RandomProgram::step() {
  if (surroundings_.outsider && below(5) == 0) return change_from_outside();
  const auto choice = below(22);
  if (choice < 6) return write();
  if (choice < 10) return read();
  if (choice < 12) return allocate();
  if (choice < 14) return store();
  switch (choice) {
    case 14: return append();
    case 15: return truncate();
    case 16: return sync();
    case 17: return reopen();
    case 18: return map();
    case 19: return load();
    case 20: return copy();
    default: return seek();
  }
}

void RandomProgram::write() {
  std::size_t offset = 0, length = 0;
  if (!some_place(&offset, &length)) return;
  note("pwrite", offset, length);
  AlignedBuffer buffer(length, mode_.strict ? 0 : below(4096));
  buffer.fill(pattern(length, random_()));
  expect(pwrite(fd_.get(), buffer.data(), length, off_t(offset)), ssize_t(length));
  put(offset, buffer.view(length));
}

void RandomProgram::append() {
  const std::size_t length = (some_length() + unit_ - 1) / unit_ * unit_;
  if (model_.size() % unit_ != 0 || model_.size() + length > kMostBytes) return;
  note("append", model_.size(), length);
  AlignedBuffer buffer(length);
  buffer.fill(pattern(length, random_()));
  const int flags = fcntl(fd_.get(), F_GETFL);
  expect(fcntl(fd_.get(), F_SETFL, flags | O_APPEND), 0);
  expect(::write(fd_.get(), buffer.data(), length), ssize_t(length));
  expect(fcntl(fd_.get(), F_SETFL, flags), 0);
  put(model_.size(), buffer.view(length));
}

void RandomProgram::read() {
  std::size_t offset = 0, length = 0;
  if (!some_place(&offset, &length)) return;
  note("pread", offset, length);
  AlignedBuffer buffer(length, mode_.strict ? 0 : below(4096));
  const std::string_view expected = part(offset, length);
  const ssize_t got = pread(fd_.get(), buffer.data(), length, off_t(offset));
  expect(got, ssize_t(expected.size()));
  if (got >= 0) compare(buffer.view(std::size_t(got)), expected);
}

void RandomProgram::truncate() {
  const std::size_t size = below(4) == 0 ? some_offset() + below(50'000) : some_offset();
  if (size > kMostBytes) return;
  note("ftruncate", size, 0);
  expect(ftruncate(fd_.get(), off_t(size)), 0);
  model_.resize(size, '\0');
}

void RandomProgram::allocate() {
  constexpr int kModes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                            FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
  const int mode = kModes[below(std::size(kModes))];
  const std::size_t offset = some_offset(), length = some_length();
  if (offset + length > kMostBytes) return;
  note("fallocate " + std::to_string(mode), offset, length);
  expect(fallocate(fd_.get(), mode, off_t(offset), off_t(length)), 0);
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0 && model_.size() < offset + length) {
    model_.resize(offset + length, '\0');
  }
  if ((mode & ~FALLOC_FL_KEEP_SIZE) == 0) return;
  const std::string_view zeroed = part(offset, length);
  std::fill_n(model_.begin() + std::ptrdiff_t(std::min(offset, model_.size())), zeroed.size(),
              '\0');
}

void RandomProgram::sync() {
  note("fsync", 0, 0);
  expect(below(2) == 0 ? fsync(fd_.get()) : fdatasync(fd_.get()), 0);
}

void RandomProgram::reopen() {
  // The map outlives its descriptor, sometimes.
  if (below(2) == 0) unmap();
  const int direct = below(2) == 0 ? mode_.lenient_direct() : 0;
  const int durable = below(16) == 0 ? O_DSYNC : 0;
  note("open with " + std::to_string(direct | durable), 0, 0);
  fd_ = open_file(mounted_, O_RDWR | O_CREAT | direct | durable);
  // So that direct mode meets blocks that are not in the page cache.
  const Fd inside = open_file(backing_, O_RDONLY);
  if (fdatasync(inside.get()) == 0) posix_fadvise(inside.get(), 0, 0, POSIX_FADV_DONTNEED);
}

void RandomProgram::map() {
  unmap();
  if (model_.empty() || below(4) == 0) return;
  note("mmap", 0, model_.size());
  void* const address =
      mmap(nullptr, model_.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (address == MAP_FAILED) return expect(-1, 0);
  map_ = static_cast<char*>(address);
  mapped_ = model_.size();
}

void RandomProgram::unmap() {
  if (map_ != nullptr) munmap(map_, mapped_);
  map_ = nullptr;
  mapped_ = 0;
}

/// A part of the map that the file has.
bool RandomProgram::place_in_map(std::size_t* offset, std::size_t* length) {
  if (map_ == nullptr) map();
  const std::size_t end = std::min(mapped_, model_.size());
  if (end == 0) return false;
  *offset = below(end);
  *length = std::min(end - *offset, some_length());
  return true;
}

void RandomProgram::store() {
  std::size_t offset = 0, length = 0;
  if (!place_in_map(&offset, &length)) return;
  note("store", offset, length);
  const std::string bytes = pattern(length, random_());
  std::memcpy(map_ + offset, bytes.data(), length);
  put(offset, bytes);
  if (below(8) == 0) expect(msync(map_, mapped_, MS_SYNC), 0);
}

void RandomProgram::load() {
  std::size_t offset = 0, length = 0;
  if (!place_in_map(&offset, &length)) return;
  note("load", offset, length);
  compare({map_ + offset, length}, part(offset, length));
}

void RandomProgram::copy() {
  const std::size_t from = below(model_.size() + 1), to = some_offset();
  const std::size_t apart = from < to ? to - from : from - to;
  const std::size_t length =
      std::min({apart, some_length(), kMostBytes - std::min(kMostBytes, to)});
  if (length == 0) return;
  note("copy_file_range from " + std::to_string(from), to, length);
  bring_stores_to_backing();
  off_t in = off_t(from), out = off_t(to);
  const ssize_t copied = copy_file_range(fd_.get(), &in, fd_.get(), &out, length, 0);
  // It may stop early, but not before it began.
  const std::string source(part(from, length));
  if (copied < 0 || std::size_t(copied) > source.size() || (copied == 0) != source.empty()) {
    return expect(copied, ssize_t(source.size()));
  }
  put(to, std::string_view(source).substr(0, std::size_t(copied)));
}

void RandomProgram::seek() {
  const std::size_t offset = below(model_.size() + 1);
  note("lseek", offset, 0);
  bring_stores_to_backing();
  expect(lseek(fd_.get(), 0, SEEK_END), off_t(model_.size()));
  const off_t data = lseek(fd_.get(), off_t(offset), SEEK_DATA);
  if (data < 0 && errno != ENXIO) return expect(data, off_t(offset));
  const std::size_t end = data < 0 ? model_.size() : std::size_t(data);
  const std::string_view hole = part(offset, end - offset);
  if (end < offset || hole.find_first_not_of('\0') != hole.npos) {
    complain("SEEK_DATA passed over data, to " + std::to_string(data));
  }
  if (offset == model_.size()) return;
  const off_t found = lseek(fd_.get(), off_t(offset), SEEK_HOLE);
  if (found < off_t(offset) || found > off_t(model_.size())) {
    complain("SEEK_HOLE found " + std::to_string(found));
  }
}

void RandomProgram::change_from_outside() {
  const Fd inside = open_file(backing_, O_RDWR);
  const std::size_t offset = some_offset(), length = some_length();
  if (offset + length > kMostBytes) return;
  if (below(2) == 0) {
    note("outside: ftruncate", offset, 0);
    expect(ftruncate(inside.get(), off_t(offset)), 0);
    model_.resize(offset, '\0');
  } else {
    note("outside: pwrite", offset, length);
    const std::string bytes = pattern(length, random_());
    expect(pwrite(inside.get(), bytes.data(), length, off_t(offset)), ssize_t(length));
    put(offset, bytes);
  }
}

/// Bytes that a read of the range gives.
std::string_view RandomProgram::part(std::size_t offset, std::size_t length) const {
  return std::string_view(model_).substr(std::min(offset, model_.size()), length);
}

void RandomProgram::put(std::size_t offset, std::string_view bytes) {
  if (!bytes.empty() && model_.size() < offset + bytes.size()) {
    model_.resize(offset + bytes.size(), '\0');
  }
  model_.replace(std::min(offset, model_.size()), bytes.size(), bytes);
}

void RandomProgram::check_sizes() {
  struct stat ours {};
  if (fstat(fd_.get(), &ours) != 0) return complain("fstat");
  if (ours.st_size != off_t(model_.size())) {
    complain("the mount tells a size of " + std::to_string(ours.st_size));
  }
  if (size_of(backing_) != off_t(model_.size())) {
    complain("the backing has a size of " + std::to_string(size_of(backing_)));
  }
}

void RandomProgram::bring_stores_to_backing() {
  if (!surroundings_.maps_of_backing) expect(fsync(fd_.get()), 0);
}

void RandomProgram::check_backing() {
  note("compare the backing", 0, 0);
  bring_stores_to_backing();
  compare(read_file(backing_), model_);
}

void RandomProgram::expect(long result, long wanted) {
  if (result == wanted) return;
  const std::string error = result < 0 ? ", errno " + std::to_string(errno) : "";
  complain("gave " + std::to_string(result) + error + " instead of " + std::to_string(wanted));
}

void RandomProgram::compare(std::string_view bytes, std::string_view expected) {
  const auto same = same_bytes(bytes, expected);
  if (!same) complain(same.message());
}

void RandomProgram::complain(const std::string& what) {
  if (complaint_.empty()) complaint_ = what;
}

void RandomProgram::note(const std::string& what, std::size_t offset, std::size_t length) {
  history_.push_back(what + " at " + std::to_string(offset) + " x " + std::to_string(length) +
                     ", size " + std::to_string(model_.size()));
}

std::string run_random_programs(const std::string& mounted, const std::string& backing,
                                const Mode& mode, const Surroundings& surroundings) {
  constexpr unsigned kPrograms = 12;
  constexpr unsigned kSteps = 300;
  const char* const chosen = std::getenv("ALIGNFS_SEED");
  const std::uint64_t first = chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : 1;
  const std::uint64_t end = first + (chosen != nullptr ? 1 : kPrograms);
  for (std::uint64_t seed = first; seed < end; ++seed) {
    const std::string name = "/random-" + std::to_string(seed);
    RandomProgram program(mounted + name, backing + name, mode, surroundings, seed);
    program.run(kSteps);
    if (const auto complaint = program.complaint(); !complaint.empty()) {
      return "ALIGNFS_SEED=" + std::to_string(seed) + " repeats this: " + complaint;
    }
    if (unlink((mounted + name).c_str()) != 0) return "unlink " + name;
  }
  return "";
}

}  // namespace alignfs::test
