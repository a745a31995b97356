#include "proc_syscall.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <climits>
#include <cstring>

#include "alignfs/base/alignment.h"

namespace alignfs {
namespace {

/// How a system call states buffer, length and offset; or why it states none.
enum class Form : std::uint8_t {
  position,         ///< (fd, buf, count): offset is the file position
  offset,           ///< (fd, buf, count, offset)
  vector_position,  ///< (fd, iov, segments)
  vector_offset,    ///< (fd, iov, segments, offset)
  vector_flags,     ///< (fd, iov, segments, offset, unused half, flags); offset -1: the position
  iocbs,            ///< (context, count, array)
  iocbs_done,       ///< waits for what an earlier io_submit began
  ring,             ///< io_uring
  no_buffer,        ///< moves data without a user buffer
  page_access,      ///< makes the page cache fill or flush a mapping
};

struct CallForm {
  long number;
  const char* name;
  Form form;
  Direction direction = Direction::read;
};

constexpr Direction kWrite = Direction::write;

constexpr CallForm kCallForms[] = {
    {SYS_read, "read", Form::position},
    {SYS_write, "write", Form::position, kWrite},
    {SYS_pread64, "pread64", Form::offset},
    {SYS_pwrite64, "pwrite64", Form::offset, kWrite},
    {SYS_readv, "readv", Form::vector_position},
    {SYS_writev, "writev", Form::vector_position, kWrite},
    {SYS_preadv, "preadv", Form::vector_offset},
    {SYS_pwritev, "pwritev", Form::vector_offset, kWrite},
    {SYS_preadv2, "preadv2", Form::vector_flags},
    {SYS_pwritev2, "pwritev2", Form::vector_flags, kWrite},
    {SYS_io_submit, "io_submit", Form::iocbs},
    {SYS_io_getevents, "io_getevents", Form::iocbs_done},
#ifdef SYS_io_pgetevents
    {SYS_io_pgetevents, "io_pgetevents", Form::iocbs_done},
#endif
    {SYS_io_uring_enter, "io_uring_enter", Form::ring},
    {SYS_sendfile, "sendfile", Form::no_buffer},
    {SYS_splice, "splice", Form::no_buffer},
    {SYS_copy_file_range, "copy_file_range", Form::no_buffer},
    {SYS_msync, "msync", Form::page_access},
    {SYS_fsync, "fsync", Form::page_access},
    {SYS_fdatasync, "fdatasync", Form::page_access},
    {SYS_sync_file_range, "sync_file_range", Form::page_access},
    {SYS_mmap, "mmap", Form::page_access},
    {SYS_mremap, "mremap", Form::page_access},
    {SYS_munmap, "munmap", Form::page_access},
    {SYS_madvise, "madvise", Form::page_access},
    {SYS_mlock, "mlock", Form::page_access},
    {SYS_mlock2, "mlock2", Form::page_access},
    {SYS_mlockall, "mlockall", Form::page_access},
    {SYS_exit, "exit", Form::page_access},
    {SYS_exit_group, "exit_group", Form::page_access},
    {SYS_execve, "execve", Form::page_access},
    {SYS_execveat, "execveat", Form::page_access},
};

/// Calls that a thread may be found in and that are neither of the above: their names are better
/// reading than their numbers.
struct CallName {
  long number;
  const char* name;
};
constexpr CallName kOtherNames[] = {
    {SYS_futex, "futex"},
    {SYS_ioctl, "ioctl"},
    {SYS_nanosleep, "nanosleep"},
    {SYS_close, "close"},
    {SYS_ftruncate, "ftruncate"},
    {SYS_ppoll, "ppoll"},
    {SYS_sendmsg, "sendmsg"},
    {SYS_recvmsg, "recvmsg"},
    {SYS_epoll_pwait, "epoll_pwait"},
    {SYS_sendto, "sendto"},
    {SYS_recvfrom, "recvfrom"},
    {SYS_clock_nanosleep, "clock_nanosleep"},
    {SYS_process_vm_readv, "process_vm_readv"},
    {SYS_process_vm_writev, "process_vm_writev"},
    {SYS_vmsplice, "vmsplice"},
    {SYS_fallocate, "fallocate"},
};

/// A line of /proc/TID/syscall: `NUMBER ARG1 .. ARG6 SP PC`, or `-1 SP PC` outside a system call.
struct SyscallLine {
  long number = -1;
  std::array<std::uint64_t, 6> args{};
  std::uint64_t stack = 0;
};

template <typename Number>
bool take_number(std::string_view& text, Number& value, int base) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  if (base == 16 && text.starts_with("0x")) text.remove_prefix(2);
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (parsed.ec != std::errc{}) return false;
  text.remove_prefix(std::size_t(parsed.ptr - text.data()));
  return true;
}

std::optional<SyscallLine> parse_line(std::string_view text) {
  SyscallLine line;
  if (!take_number(text, line.number, 10)) return std::nullopt;
  if (line.number >= 0) {
    for (std::uint64_t& arg : line.args) {
      if (!take_number(text, arg, 16)) return std::nullopt;
    }
  }
  if (!take_number(text, line.stack, 16)) return std::nullopt;
  return line;
}

const CallForm* form_of(long number) {
  const auto* found = std::find_if(std::begin(kCallForms), std::end(kCallForms),
                                   [number](const auto& form) { return form.number == number; });
  return found == std::end(kCallForms) ? nullptr : found;
}

std::string other_call(long number) {
  for (const CallName& other : kOtherNames) {
    if (other.number == number) return std::string("the caller is in ") + other.name;
  }
  return "the caller is in system call " + std::to_string(number);
}

CallView page_access(const Fragment& fragment) {
  CallView view = unseen_view(fragment, "");
  view.kind = CallView::Kind::page_access;
  return view;
}

/// The page cache of the mount asks for whole pages and nothing else. (What it writes is marked,
/// and not asked about.)
bool may_be_page_access(const Fragment& fragment) {
  return is_aligned(fragment.offset | fragment.length, kPageSize);
}

bool is_page_aligned(const Call& call) {
  return is_aligned(call.offset | call.length, kPageSize) &&
         std::all_of(call.segments.begin(), call.segments.end(), [](const Segment& segment) {
           return is_aligned(segment.address | segment.length, kPageSize);
         });
}

/// Linux cuts longer calls before anybody judges them (MAX_RW_COUNT).
void cut_to_longest(Call& call) {
  std::uint64_t left = std::uint64_t(INT_MAX) & ~std::uint64_t(kPageSize - 1);
  call.length = std::min(call.length, left);
  for (auto& segment : call.segments) {
    segment.length = std::min(segment.length, left);
    left -= segment.length;
    if (left == 0) {
      call.segments.resize(std::size_t(&segment - call.segments.data()) + 1);
      break;
    }
  }
}

/// Where the call begins is not in its arguments: the file position, or the end of the file.
struct Placement {
  bool at_position = false;
  bool at_end = false;
};

/// Settles where `call` begins and whether it is the one behind `fragment`.
///
/// A thread that reads or writes some other file may touch a mapping of this one with its buffer,
/// and the page cache then asks for pages in that thread's name. The inode of the descriptor tells
/// the two apart. It costs as much again as all the rest, so two are believed without: a call that
/// is whole pages throughout, to which no rule objects, and one whose request is none of the page
/// cache's.
CallView settle(Call call, Placement placement, const Fragment& fragment,
                const CallerState& caller) {
  cut_to_longest(call);
  const bool whole = call.length == fragment.length;
  if (placement.at_position && whole) call.offset = fragment.offset;
  const bool placed =
      !placement.at_end && (whole || !placement.at_position) && call.offset == fragment.offset;
  if (!placed || (may_be_page_access(fragment) && !is_page_aligned(call))) {
    const auto file = caller.descriptor(call.fd);
    if (file && file->inode && *file->inode != fragment.file.inode) return page_access(fragment);
    const bool append = placement.at_end || (file && (file->flags & O_APPEND) != 0);
    if (append && fragment.direction == Direction::write) {
      // Linux ignores offset and position here, so the fragment is the only witness. It is the
      // call's beginning unless earlier fragments went before, and those were whole pages.
      call.offset = fragment.offset;
    } else if (placement.at_position && !whole) {
      if (!file) return unseen_view(fragment, "the caller's file position could not be read");
      // The position moves on only when the call returns.
      call.offset = file->position;
    }
  }
  if (!contains(call, fragment)) {
    return unseen_view(fragment, std::string("the caller's ") + std::string(call.syscall) +
                                     " does not contain this request");
  }
  return {CallView::Kind::seen, std::move(call), ""};
}

CallView view_of_transfer(const CallForm& form, const SyscallLine& line, const Fragment& fragment,
                          const CallerState& caller) {
  // A read in the name of a thread that is writing, or the other way round, serves its buffer.
  if (form.direction != fragment.direction) return page_access(fragment);

  Call call;
  call.syscall = form.name;
  call.fd = int(line.args[0]);
  const bool vector = form.form == Form::vector_position || form.form == Form::vector_offset ||
                      form.form == Form::vector_flags;
  if (vector) {
    std::string why = read_vector(line.args[1], line.args[2], caller, call);
    if (!why.empty()) return unseen_view(fragment, std::move(why));
  } else {
    call.length = line.args[2];
    call.segments = {{line.args[1], line.args[2]}};
  }

  Placement placement;
  placement.at_position = form.form == Form::position || form.form == Form::vector_position;
  if (!placement.at_position) call.offset = line.args[3];
  if (form.form == Form::vector_flags) {
    placement.at_position = line.args[3] == ~std::uint64_t{0};
    placement.at_end = (line.args[5] & RWF_APPEND) != 0;
  }
  return settle(std::move(call), placement, fragment, caller);
}

CallView view_of_iocbs(const SyscallLine& line, const Fragment& fragment,
                       const CallerState& caller) {
  Call call;
  call.syscall = "io_submit";
  std::string why = find_iocb(line.args[1], line.args[2], fragment, caller, call);
  if (!why.empty()) return unseen_view(fragment, std::move(why));
  return settle(std::move(call), {}, fragment, caller);
}

}  // namespace

CallView unseen_view(const Fragment& fragment, std::string why) {
  CallView view;
  view.call.offset = fragment.offset;
  view.call.length = fragment.length;
  view.unseen = std::move(why);
  return view;
}

bool contains(const Call& call, const Fragment& fragment) {
  return call.offset <= fragment.offset && fragment.length <= call.length &&
         fragment.offset - call.offset <= call.length - fragment.length;
}

std::string read_vector(std::uint64_t address, std::uint64_t count, const CallerState& caller,
                        Call& call) {
  if (count > kMaxSegments) return "the caller's vector has more than 1024 segments";
  std::vector<iovec> vector(count);
  if (count != 0) {
    const std::uint64_t addresses[] = {address};
    const int error = caller.read_memory(addresses, count * sizeof(iovec), vector.data());
    if (error != 0) return std::string("the caller's vector: ") + strerrordesc_np(error);
  }
  call.length = 0;
  call.segments.clear();
  for (const iovec& segment : vector) {
    if (segment.iov_len > SIZE_MAX - call.length) return "the caller's vector overflows";
    call.length += segment.iov_len;
    call.segments.push_back(
        {reinterpret_cast<std::uint64_t>(segment.iov_base), std::uint64_t(segment.iov_len)});
  }
  return "";
}

CallView view_of_syscall(std::string_view text, const Fragment& fragment,
                         const CallerState& caller) {
  if (text.starts_with("running")) {
    return unseen_view(fragment, "the caller was running, not waiting in a call");
  }
  const auto line = parse_line(text);
  if (!line) return unseen_view(fragment, "/proc/TID/syscall could not be understood");
  if (line->number < 0) return page_access(fragment);
  if (line->stack == 0) return unseen_view(fragment, "the caller is a kernel thread");
  if (line->stack <= UINT32_MAX) return unseen_view(fragment, "the caller is a 32-bit program");

  const CallForm* form = form_of(line->number);
  if (form == nullptr) return unseen_view(fragment, other_call(line->number));
  switch (form->form) {
    case Form::page_access: return page_access(fragment);
    case Form::iocbs: return view_of_iocbs(*line, fragment, caller);
    case Form::iocbs_done:
      return unseen_view(fragment,
                         std::string("io_submit has returned; the caller is in ") + form->name);
    case Form::ring:
      return unseen_view(fragment, "io_uring: the request runs outside the caller's system call");
    case Form::no_buffer:
      return unseen_view(fragment, std::string(form->name) + ": no user buffer");
    default: return view_of_transfer(*form, *line, fragment, caller);
  }
}

}  // namespace alignfs
