#include <linux/aio_abi.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "proc_syscall.h"

namespace alignfs {
namespace {

bool is_vector(const iocb& request) {
  return request.aio_lio_opcode == IOCB_CMD_PREADV || request.aio_lio_opcode == IOCB_CMD_PWRITEV;
}

bool goes(const iocb& request, Direction direction) {
  if (direction == Direction::read) {
    return request.aio_lio_opcode == IOCB_CMD_PREAD || request.aio_lio_opcode == IOCB_CMD_PREADV;
  }
  return request.aio_lio_opcode == IOCB_CMD_PWRITE || request.aio_lio_opcode == IOCB_CMD_PWRITEV;
}

/// Copies the iocbs that the first `count` pointers at `array` lead to. Returns 0 or an errno.
int read_iocbs(std::uint64_t count, std::uint64_t array, const CallerState& caller,
               std::vector<iocb>& requests) {
  std::vector<std::uint64_t> pointers(count);
  const std::uint64_t start[] = {array};
  if (const int error = caller.read_memory(start, count * sizeof(std::uint64_t), pointers.data())) {
    return error;
  }
  requests.resize(count);
  return caller.read_memory(pointers, sizeof(iocb), requests.data());
}

bool same_request(const Call& a, const Call& b) {
  return a.fd == b.fd && a.offset == b.offset && a.length == b.length && a.segments == b.segments;
}

/// Every different call among `requests` that contains the fragment.
std::vector<Call> candidates_for(const Fragment& fragment, const std::vector<iocb>& requests,
                                 const CallerState& caller) {
  std::vector<Call> candidates;
  for (const iocb& request : requests) {
    if (!goes(request, fragment.direction)) continue;
    Call call;
    call.fd = int(request.aio_fildes);
    call.offset = std::uint64_t(request.aio_offset);
    if (call.offset > fragment.offset) continue;
    if (is_vector(request)) {
      if (!read_vector(request.aio_buf, request.aio_nbytes, caller, call).empty()) continue;
    } else {
      call.length = request.aio_nbytes;
      call.segments = {{request.aio_buf, request.aio_nbytes}};
    }
    const bool known =
        std::any_of(candidates.begin(), candidates.end(),
                    [&call](const Call& other) { return same_request(call, other); });
    if (contains(call, fragment) && !known) candidates.push_back(std::move(call));
  }
  return candidates;
}

/// Drops what goes to other files, as far as the descriptors tell.
void keep_file(std::vector<Call>& candidates, const Fragment& fragment, const CallerState& caller) {
  std::erase_if(candidates, [&](const Call& call) {
    const auto file = caller.descriptor(call.fd);
    return file && file->inode && *file->inode != fragment.file.inode;
  });
}

}  // namespace

std::string find_iocb(std::uint64_t count, std::uint64_t array, const Fragment& fragment,
                      const CallerState& caller, Call& call) {
  std::vector<iocb> requests;
  const auto looked_at = std::min<std::uint64_t>(count, kMaxSegments);
  if (const int error = read_iocbs(looked_at, array, caller, requests)) {
    return std::string("the caller's iocbs: ") + strerrordesc_np(error);
  }
  std::vector<Call> candidates = candidates_for(fragment, requests, caller);
  if (candidates.size() > 1) keep_file(candidates, fragment, caller);
  if (candidates.empty()) return "io_submit: no iocb looked at contains this request";
  if (candidates.size() > 1) return "io_submit: more than one iocb covers this range";
  const std::string_view name = call.syscall;
  call = std::move(candidates.front());
  call.syscall = name;
  return "";
}

}  // namespace alignfs
