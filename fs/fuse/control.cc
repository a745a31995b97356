#include "alignfs/fuse/control.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "alignfs/fuse/filesystem.h"
#include "alignfs/report/stats.h"

namespace alignfs {
namespace {

// The kernel must ask each time who may see what, and how long a text is it learns by reading.
constexpr double kTimeout = 0;

struct Entry {
  Control::Node node;
  const char* name;
};
constexpr Entry kFiles[] = {{Control::kEvents, "events"},
                            {Control::kStats, "stats"},
                            {Control::kOptions, "options"},
                            {Control::kActivity, "activity"}};

}  // namespace

/// One open control file. `text` of events is what was cut off for want of room; of the
/// others all of it, taken at open, so that a reader in small pieces sees one state.
struct Control::Handle {
  fuse_ino_t node = 0;
  std::string text;
  std::uint64_t next_seq = 1;
  bool polled = false;
  fuse_pollhandle* poll = nullptr;

  ~Handle() {
    if (poll != nullptr) fuse_pollhandle_destroy(poll);
  }
};

Control::Control(Filesystem& filesystem) : filesystem_(filesystem) {
  filesystem_.reporter.ring().set_listener([this] { events_published(); });
}

Control::~Control() { filesystem_.reporter.ring().set_listener({}); }

bool Control::reserves(fuse_ino_t parent, const char* name) const {
  return filesystem_.options.control && parent == FUSE_ROOT_ID && std::strcmp(name, kName) == 0;
}

struct stat Control::attributes_of(fuse_ino_t node) const {
  struct stat attributes {};
  // Above every inode number that the backing is likely to use.
  attributes.st_ino = ~ino_t{0} - node;
  attributes.st_mode = node == kDirectory ? S_IFDIR | 0500 : S_IFREG | 0400;
  attributes.st_nlink = node == kDirectory ? 2 : 1;
  attributes.st_uid = ::getuid();
  attributes.st_gid = ::getgid();
  return attributes;
}

void Control::look_up(fuse_req_t request, fuse_ino_t parent, const char* name) {
  fuse_ino_t node = kDirectory;
  if (parent == kDirectory) {
    const auto* file = std::find_if(std::begin(kFiles), std::end(kFiles), [&](const Entry& entry) {
      return std::strcmp(entry.name, name) == 0;
    });
    if (file == std::end(kFiles)) {
      fuse_reply_err(request, ENOENT);
      return;
    }
    node = file->node;
  }
  fuse_entry_param entry{};
  entry.ino = node;
  entry.attr = attributes_of(node);
  entry.attr_timeout = kTimeout;
  entry.entry_timeout = kTimeout;
  fuse_reply_entry(request, &entry);
}

void Control::get_attributes(fuse_req_t request, fuse_ino_t node) {
  const auto attributes = attributes_of(node);
  fuse_reply_attr(request, &attributes, kTimeout);
}

void Control::open(fuse_req_t request, fuse_ino_t node, fuse_file_info* info) {
  if ((info->flags & O_ACCMODE) != O_RDONLY) {
    fuse_reply_err(request, EACCES);
    return;
  }
  auto handle = std::make_unique<Handle>();
  handle->node = node;
  if (node == kOptions) handle->text = options_text();
  if (node == kStats) handle->text = stats_text();
  if (node == kActivity) handle->text = filesystem_.reporter.activity();
  info->fh = reinterpret_cast<std::uint64_t>(handle.get());
  info->direct_io = 1;
  info->nonseekable = node == kEvents;
  {
    const std::lock_guard guard(mutex_);
    handles_.insert(std::move(handle));
  }
  fuse_reply_open(request, info);
}

void Control::read(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t offset,
                   fuse_file_info* info) {
  auto& handle = *reinterpret_cast<Handle*>(info->fh);
  if (node != kEvents) {
    // A copy: the handle may be released as soon as the answer is on its way.
    const auto begin = std::min(std::size_t(offset), handle.text.size());
    const auto piece = handle.text.substr(begin, size);
    fuse_reply_buf(request, piece.data(), piece.size());
    return;
  }
  if ((info->flags & O_NONBLOCK) == 0) {
    wait_for_events(request, handle, size);
    return;
  }
  std::string lines;
  {
    const std::lock_guard guard(mutex_);
    lines = take_events(handle, size);
  }
  if (lines.empty()) {
    fuse_reply_err(request, EAGAIN);
  } else {
    fuse_reply_buf(request, lines.data(), lines.size());
  }
}

std::string Control::take_events(Handle& handle, std::size_t size) {
  if (handle.text.empty()) {
    auto [lines, next] = filesystem_.reporter.ring().lines_from(handle.next_seq, size);
    handle.text = std::move(lines);
    handle.next_seq = next;
  }
  // A line longer than the reader's buffer comes in pieces.
  auto piece = handle.text.substr(0, size);
  handle.text.erase(0, piece.size());
  return piece;
}

/// Requests that wait occupy entries, where they come in such, and others must still get through.
std::size_t Control::most_waiters() const {
  if (!filesystem_.features.over_io_uring) return std::numeric_limits<std::size_t>::max();
  return filesystem_.queue_entries / 2;
}

void Control::wait_for_events(fuse_req_t request, Handle& handle, std::size_t size) {
  // Before anybody else may answer and free the request.
  fuse_req_interrupt_func(request, &Control::interrupted, this);
  int error = 0;
  {
    const std::lock_guard guard(mutex_);
    // An interruption that came before the waiter was there found nothing to end.
    error = closing_                             ? ENODEV
            : fuse_req_interrupted(request) != 0 ? EINTR
            : waiters_.size() >= most_waiters()  ? EBUSY
                                                 : 0;
    if (error == 0) waiters_[request] = {&handle, size};
  }
  if (error != 0) {
    fuse_reply_err(request, error);
  } else {
    events_published();
  }
}

void Control::interrupted(fuse_req_t request, void* control) {
  auto& self = *static_cast<Control*>(control);
  {
    const std::lock_guard guard(self.mutex_);
    if (self.waiters_.erase(request) == 0) return;
  }
  fuse_reply_err(request, EINTR);
}

void Control::events_published() {
  struct Answer {
    fuse_req_t request;
    std::string lines;
  };
  std::vector<Answer> answers;
  {
    const std::lock_guard guard(mutex_);
    for (auto waiter = waiters_.begin(); waiter != waiters_.end();) {
      auto lines = take_events(*waiter->second.handle, waiter->second.size);
      if (lines.empty()) {
        ++waiter;
        continue;
      }
      answers.push_back({waiter->first, std::move(lines)});
      waiter = waiters_.erase(waiter);
    }
    for (const auto& handle : handles_) {
      if (handle->poll == nullptr) continue;
      fuse_lowlevel_notify_poll(handle->poll);
      fuse_pollhandle_destroy(std::exchange(handle->poll, nullptr));
    }
  }
  for (const auto& answer : answers) {
    fuse_reply_buf(answer.request, answer.lines.data(), answer.lines.size());
  }
}

void Control::poll(fuse_req_t request, fuse_ino_t node, fuse_file_info* info,
                   fuse_pollhandle* poll_handle) {
  unsigned ready = POLLIN | POLLRDNORM;
  const std::lock_guard guard(mutex_);
  if (node == kEvents) {
    auto& handle = *reinterpret_cast<Handle*>(info->fh);
    handle.polled = true;
    if (handle.text.empty() && handle.next_seq >= filesystem_.reporter.ring().next_seq()) ready = 0;
    if (poll_handle != nullptr) {
      if (handle.poll != nullptr) fuse_pollhandle_destroy(handle.poll);
      handle.poll = std::exchange(poll_handle, nullptr);
    }
  }
  if (poll_handle != nullptr) fuse_pollhandle_destroy(poll_handle);
  fuse_reply_poll(request, ready);
}

bool Control::is_polled() {
  const std::lock_guard guard(mutex_);
  return std::any_of(handles_.begin(), handles_.end(),
                     [](const auto& handle) { return handle->polled; });
}

void Control::release(fuse_req_t request, fuse_file_info* info) {
  auto* handle = reinterpret_cast<Handle*>(info->fh);
  {
    const std::lock_guard guard(mutex_);
    const auto found = std::find_if(handles_.begin(), handles_.end(),
                                    [&](const auto& entry) { return entry.get() == handle; });
    if (found != handles_.end()) handles_.erase(found);
  }
  fuse_reply_err(request, 0);
}

void Control::open_directory(fuse_req_t request, fuse_file_info* info) {
  info->fh = 0;
  fuse_reply_open(request, info);
}

void Control::read_directory(fuse_req_t request, std::size_t size, off_t offset, bool plus) {
  struct Name {
    fuse_ino_t node;
    const char* name;
  };
  std::vector<Name> names = {{kDirectory, "."}, {FUSE_ROOT_ID, ".."}};
  for (const auto& file : kFiles) names.push_back({file.node, file.name});

  std::string reply(size, '\0');
  std::size_t used = 0;
  for (std::size_t i = std::size_t(offset); i < names.size(); ++i) {
    fuse_entry_param entry{};
    entry.attr = attributes_of(names[i].node);
    char* room = reply.data() + used;
    const auto need = plus ? fuse_add_direntry_plus(request, room, size - used, names[i].name,
                                                    &entry, off_t(i + 1))
                           : fuse_add_direntry(request, room, size - used, names[i].name,
                                               &entry.attr, off_t(i + 1));
    if (need > size - used) break;
    used += need;
  }
  fuse_reply_buf(request, reply.data(), used);
}

void Control::shut_down() {
  std::vector<fuse_req_t> left;
  {
    const std::lock_guard guard(mutex_);
    closing_ = true;
    for (const auto& [request, waiter] : waiters_) left.push_back(request);
    waiters_.clear();
  }
  for (const auto request : left) fuse_reply_err(request, ENODEV);
}

std::string Control::stats_text() const {
  Gauges gauges;
  {
    const std::lock_guard guard(filesystem_.files_mutex);
    gauges.open_files = filesystem_.files.size();
  }
  gauges.inodes = filesystem_.inodes->size();
  gauges.buffer_bytes =
      filesystem_.receive_buffers.mapped_bytes() + filesystem_.bounce_buffers.mapped_bytes() +
      filesystem_.small_bounce_buffers.mapped_bytes() + filesystem_.copy_buffers.mapped_bytes();
  gauges.mappings = filesystem_.mapper.mappings();
  gauges.mapped_bytes = filesystem_.mapper.mapped_bytes();
  gauges.events_published = filesystem_.reporter.ring().next_seq() - 1;
  return to_prometheus(filesystem_.counters, gauges);
}

std::string Control::options_text() const {
  std::string text = fmt::format("source={}\n", filesystem_.source);
  const bool over_io_uring = filesystem_.features.over_io_uring;
  for (const auto& [name, value] : list_options(filesystem_.options)) {
    // Nobody looks for requests where they come by themselves.
    if (over_io_uring && name == "poll") continue;
    text += fmt::format("{}={}\n", name, value);
  }
  // What auto became, and what the kernel granted.
  text += fmt::format("threads.effective={}\n", filesystem_.workers);
  if (filesystem_.options.mode != MountOptions::Mode::direct) {
    if (filesystem_.options.passthrough) {
      text += fmt::format("passthrough.effective={}\n",
                          filesystem_.features.passthrough ? "on" : "off");
    }
  } else if (const auto& geometry = filesystem_.source_geometry) {
    const auto& judged = geometry->judged;
    text += fmt::format("direct_io={}\n", name_of(geometry->verdict));
    text += fmt::format("align.effective={}\nalign.source={}\n", judged.write.bytes,
                        name_of(judged.write.source));
    text += fmt::format("mem_align.effective={}\nmem_align.source={}\n", judged.memory.bytes,
                        name_of(judged.memory.source));
  } else {
    text += "direct_io=unknown\n";
  }
  text += fmt::format("max_request.effective={}\nmax_read={}\n", filesystem_.features.max_request,
                      filesystem_.features.max_read);
  text += fmt::format("engine.effective={}\n", filesystem_.uses_io_uring ? "uring" : "threads");
  text += fmt::format("fuse_uring.effective={}\n", over_io_uring ? "on" : "off");
  text += fmt::format("shared_mmap={}\n", filesystem_.features.passthrough      ? "backing"
                                          : filesystem_.features.direct_io_mmap ? "page_cache"
                                                                                : "off");
  return text;
}

}  // namespace alignfs
