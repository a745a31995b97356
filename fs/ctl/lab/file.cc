#include "alignfs/ctl/lab/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <utility>

#include "alignfs/base/alignment.h"
#include "alignfs/ctl/commands.h"
#include "alignfs/ctl/lab/interrupt.h"
#include "alignfs/io/fault_guard.h"
#include "alignfs/io/transfer.h"

namespace alignfs::ctl::lab {
namespace {

using std::chrono::steady_clock;

constexpr double kMicrosecond = 1e3, kMillisecond = 1e6, kSecond = 1e9;

/// Half of it: the rest is for the page cache and for everybody else.
std::uint64_t most_memory() {
  return std::uint64_t(::sysconf(_SC_PHYS_PAGES)) * std::uint64_t(::sysconf(_SC_PAGESIZE)) / 2;
}

/// Makes the call and keeps what came of it.
Outcome make(Call call, const std::function<ssize_t()>& system_call) {
  Outcome outcome{.call = std::move(call)};
  const auto begun = steady_clock::now();
  outcome.bytes = system_call();
  outcome.time = steady_clock::now() - begun;
  if (outcome.bytes < 0) outcome.error = std::exchange(errno, 0);
  return outcome;
}

/// O_APPEND on a descriptor of ours for as long as it lives.
class Appending {
 public:
  explicit Appending(int fd) : fd_(fd), flags_(::fcntl(fd, F_GETFL)) {
    ::fcntl(fd_, F_SETFL, flags_ | O_APPEND);
  }
  ~Appending() { ::fcntl(fd_, F_SETFL, flags_); }
  Appending(const Appending&) = delete;
  Appending& operator=(const Appending&) = delete;

 private:
  int fd_, flags_;
};

}  // namespace

bool Outcome::refused() const {
  return all_bytes == 0 && (error == EINVAL || error == EBADF || error == EFBIG);
}

std::string OpenHow::text() const {
  std::string text = direct ? "direct" : "plain";
  if (durability != 0) text += durability == O_SYNC ? " sync" : " dsync";
  if (read_only) text += " ro";
  return text;
}

Pages::Pages(std::uint64_t bytes) : bytes_(std::max<std::uint64_t>(bytes, 1)) {
  if (bytes > most_memory()) {
    throw CommandError(fmt::format(
        "a buffer of {} bytes is too large: this machine has memory for {}", bytes, most_memory()));
  }
  void* const place =
      ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED) {
    throw CommandError(
        fmt::format("no memory for a buffer of {} bytes: {}", bytes, strerror(errno)));
  }
  data_ = static_cast<std::byte*>(place);
}

Pages::~Pages() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

Pages::Pages(Pages&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}

Pages& Pages::operator=(Pages&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Buffers::Buffers(const Request& request) : pieces_(request.pieces) {
  // Each on pages of its own, with one to spare, so that no address depends on the others.
  std::uint64_t end = 0;
  for (const auto& piece : pieces_) {
    if (piece.past_page > most_memory() || piece.bytes > most_memory()) {
      throw CommandError(
          fmt::format("a buffer of {} bytes, {} past a page, is too large: this machine has memory "
                      "for {}",
                      piece.bytes, piece.past_page, most_memory()));
    }
    places_.push_back(end + piece.past_page);
    end = align_up(places_.back() + piece.bytes + 1, kPageSize);
  }
  pages_ = Pages(end);
}

void Buffers::fill(char letter) {
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    std::memset(pages_.data() + places_[i], letter, pieces_[i].bytes);
  }
}

std::vector<Segment> Buffers::segments() const {
  std::vector<Segment> segments;
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    segments.push_back({std::uint64_t(reinterpret_cast<std::uintptr_t>(pages_.data() + places_[i])),
                        pieces_[i].bytes});
  }
  return segments;
}

LabFile::LabFile(std::string path, const OpenHow& how) : path_(std::move(path)), how_(how) {
  // Before it is opened: a FIFO would be waited for, and devices do things then.
  struct stat facts {};
  if (::stat(path_.c_str(), &facts) != 0) throw cannot("open", path_, errno);
  if (S_ISDIR(facts.st_mode)) {
    throw CommandError(fmt::format("{} is a directory; the lab wants a file", path_));
  }
  if (!S_ISREG(facts.st_mode)) throw CommandError(fmt::format("{} is no regular file", path_));
  const int flags = (how.read_only ? O_RDONLY : O_RDWR) | how.durability | O_CLOEXEC;
  fd_ = UniqueFd(::open(path_.c_str(), flags | (how.direct ? O_DIRECT : 0)));
  if (!fd_ && errno == EINVAL && how.direct) {
    throw CommandError(fmt::format(
        "cannot open {} with O_DIRECT: the filesystem does no direct I/O for it (open plain)",
        path_));
  }
  if (!fd_) throw cannot("open", path_, errno);
}

std::uint64_t LabFile::size() const {
  struct stat facts {};
  if (::fstat(fd(), &facts) != 0) throw cannot("look at", path_, errno);
  return std::uint64_t(facts.st_size);
}

Outcome LabFile::transfer(const Request& request, const Buffers& buffers) {
  const auto length = request.bytes();
  Outcome last;
  std::uint64_t calls = 0;
  std::int64_t bytes = 0;
  std::chrono::nanoseconds time{0};
  do {
    last = call(request, buffers, request.offset + calls * length);
    ++calls;
    time += last.time;
    if (last.error == 0) bytes += last.bytes;
  } while (calls < request.times && last.error == 0 && std::uint64_t(last.bytes) == length &&
           !interrupted());
  last.calls = calls;
  last.all_bytes = bytes;
  last.time = time;
  return last;
}

Outcome LabFile::call(const Request& request, const Buffers& buffers, std::uint64_t offset) {
  const bool writes = request.direction == Direction::write;
  const auto segments = buffers.segments();
  Call call{{}, fd(), offset, request.bytes(), segments};
  std::vector<iovec> vector;
  for (const auto& segment : segments) {
    vector.push_back({reinterpret_cast<void*>(segment.address), segment.length});
  }
  const auto& [place, length] = vector.front();
  if (request.append) {
    call.syscall = "write";
    call.offset = size();
    const Appending appending(fd());
    return make(std::move(call), [&] { return ::write(fd(), place, length); });
  }
  if (request.vector) {
    call.syscall = writes ? "pwritev" : "preadv";
    return make(std::move(call), [&] {
      const auto count = int(vector.size());
      return writes ? ::pwritev(fd(), vector.data(), count, off_t(offset))
                    : ::preadv(fd(), vector.data(), count, off_t(offset));
    });
  }
  call.syscall = writes ? "pwrite64" : "pread64";
  return make(std::move(call), [&] {
    return writes ? ::pwrite(fd(), place, length, off_t(offset))
                  : ::pread(fd(), place, length, off_t(offset));
  });
}

Outcome LabFile::truncate(std::uint64_t size) {
  return make({"ftruncate", fd(), 0, size, {}},
              [&] { return ssize_t(::ftruncate(fd(), off_t(size))); });
}

Outcome LabFile::sync() {
  return make({"fsync", fd(), 0, 0, {}}, [&] { return ssize_t(::fsync(fd())); });
}

std::string LabFile::bytes_at(std::uint64_t offset, std::uint64_t length) const {
  const UniqueFd plain(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!plain) throw cannot("read", path_, errno);
  // Whole pages, because a strict mount may judge everybody.
  const auto begin = align_down(offset, kPageSize);
  const auto head = offset - begin;
  const auto whole = align_up(head + length, kPageSize);
  const Pages pages(whole);
  const auto got = read_fully(plain.get(), {pages.data(), whole}, begin, kPageSize);
  if (!got) throw cannot("read", path_, got.code());
  if (*got <= head) return "";
  return {reinterpret_cast<const char*>(pages.data() + head), std::min(length, *got - head)};
}

LabMap::LabMap(const LabFile& file, std::uint64_t offset, std::uint64_t length)
    : offset_(offset), length_(length), writable_(!file.how().read_only) {
  install_fault_guard();
  if (!is_aligned(offset, kPageSize)) {
    throw CommandError(fmt::format("a map begins on a page: {} is {} past a multiple of {}", offset,
                                   excess(offset, kPageSize), kPageSize));
  }
  if (length == 0) throw CommandError("a map of no bytes cannot be made");
  void* const place = ::mmap(nullptr, length, writable_ ? PROT_READ | PROT_WRITE : PROT_READ,
                             MAP_SHARED, file.fd(), off_t(offset));
  if (place == MAP_FAILED) throw cannot("map", file.path(), errno);
  data_ = static_cast<std::byte*>(place);
}

LabMap::~LabMap() { ::munmap(data_, length_); }

std::byte* LabMap::at(std::uint64_t offset, std::uint64_t length) const {
  if (offset < offset_ || offset - offset_ > length_ || length > length_ - (offset - offset_)) {
    throw CommandError(fmt::format("the map holds {} bytes from offset {} on", length_, offset_));
  }
  return data_ + (offset - offset_);
}

void LabMap::poke(std::uint64_t offset, const std::string& bytes) {
  if (!writable_) throw CommandError("the file is open for reading alone, and so is its map");
  std::byte* const place = at(offset, bytes.size());
  const auto* const from = reinterpret_cast<const std::byte*>(bytes.data());
  if (copy_guarded(place, from, bytes.size()) == bytes.size()) return;
  throw CommandError(
      "SIGBUS: the file has no page there (it ends before, or the disk is full); a program would "
      "have been ended");
}

std::string LabMap::peek(std::uint64_t offset, std::uint64_t length) const {
  std::string bytes(length, '\0');
  const std::byte* const place = at(offset, length);
  if (copy_guarded(reinterpret_cast<std::byte*>(bytes.data()), place, length) == length)
    return bytes;
  throw CommandError(
      "SIGBUS: the file has no page there, or it cannot be read; a program would have been ended");
}

Outcome LabMap::sync() {
  return make({"msync", -1, offset_, length_, {}},
              [&] { return ssize_t(::msync(data_, length_, MS_SYNC)); });
}

std::string time_text(std::chrono::nanoseconds time) {
  const auto count = double(time.count());
  if (count < kMillisecond) return fmt::format("{:.0f} µs", count / kMicrosecond);
  if (count < kSecond) return fmt::format("{:.1f} ms", count / kMillisecond);
  return fmt::format("{:.1f} s", count / kSecond);
}

std::string outcome_text(const Outcome& outcome) {
  const auto& call = outcome.call;
  auto name = std::string(call.syscall);
  if (name.ends_with("64")) name.resize(name.size() - 2);
  std::string arguments;
  if (call.fd >= 0) arguments += fmt::format("fd {}", call.fd);
  if (name == "ftruncate") arguments += fmt::format(", {}", call.length);
  if (name == "msync")
    arguments += fmt::format("{} bytes from offset {}", call.length, call.offset);
  if (!call.segments.empty()) {
    if (call.segments.size() > 1) arguments += fmt::format(", {} segments", call.segments.size());
    arguments += fmt::format(", {} bytes, offset {}", call.length, call.offset);
  }
  const auto result = outcome.error == 0 ? fmt::format("{}", outcome.bytes)
                                         : fmt::format("{} ({})", ::strerrorname_np(outcome.error),
                                                       std::strerror(outcome.error));
  return fmt::format("{}({}) = {}, {}", name, arguments, result, time_text(outcome.time));
}

}  // namespace alignfs::ctl::lab
