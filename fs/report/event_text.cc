#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "alignfs/report/advice.h"
#include "alignfs/report/event.h"
#include "alignfs/report/printable.h"

namespace alignfs {
namespace {

/// pread64 and pwrite64 are what the kernel calls them; people write pread and pwrite.
std::string_view display_name(std::string_view syscall) {
  if (syscall == "pread64" || syscall == "pwrite64") syscall.remove_suffix(2);
  return syscall;
}

const char* noun(Direction direction) { return direction == Direction::read ? "read" : "write"; }

std::string call_text(const Event& event) {
  const Call& call = event.view.call;
  if (event.view.kind != CallView::Kind::seen) {
    return fmt::format("{} of {} bytes at offset {}", noun(event.direction), call.length,
                       call.offset);
  }
  std::string text = fmt::format("{}(", display_name(call.syscall));
  if (call.syscall == "io_submit") text += fmt::format("{}, ", noun(event.direction));
  if (call.fd >= 0) text += fmt::format("fd {}, ", call.fd);
  if (call.segments.size() > 1) {
    text += fmt::format("{} segments from {:#x}, ", call.segments.size(), call.segments[0].address);
  } else if (!call.segments.empty()) {
    text += fmt::format("buf {:#x}, ", call.segments[0].address);
  }
  return text + fmt::format("{} bytes, offset {})", call.length, call.offset);
}

std::string file_text(const Event& event) {
  return event.path.empty() ? fmt::format("inode {}", event.file.inode) : printable(event.path);
}

std::string process_text(const Process& process) {
  if (process.pid == 0) return "an unknown process";
  if (process.comm.empty()) return fmt::format("process {}", process.pid);
  return fmt::format("{}[{}]", printable(process.comm), process.pid);
}

std::string outcome_text(const Event& event) {
  if (event.action != Action::rejected) return name_of(event.action);
  const char* name = strerrorname_np(event.error);
  return name != nullptr && event.error != 0 ? name : name_of(event.action);
}

std::string device_text(const Event& event) {
  return event.device.empty() ? "the backing filesystem" : event.device;
}

std::string memory_source(const Event& event) {
  const Requirement& rule = event.rules.memory;
  switch (rule.source) {
    case Source::statx: return fmt::format("DMA alignment of {}, from statx", device_text(event));
    case Source::option: return fmt::format("-o mem_align={}", rule.bytes);
    case Source::fallback: break;
  }
  return "Linux's default DMA alignment; the backing states none";
}

std::string block_source(const Event& event) {
  const Requirement& rule = event.rules.block;
  switch (rule.source) {
    case Source::statx:
      return fmt::format("direct I/O alignment of {}, from statx", device_text(event));
    case Source::option: return fmt::format("-o align={}", rule.bytes);
    case Source::fallback: break;
  }
  return "assumed; the backing states none";
}

/// One broken rule: what is wrong, and who asks for what.
struct Row {
  const char* name;
  std::string fact;
  std::string need;
};

std::string segment_name(const Event& event, std::size_t index) {
  return fmt::format("segment {} of {}", index + 1, event.view.call.segments.size());
}

Row memory_row(const Event& event) {
  const Diagnosis& facts = event.diagnosis;
  const auto boundary = event.rules.memory.bytes;
  std::string subject = fmt::format("{:#x}", facts.address);
  if (event.view.call.segments.size() > 1) {
    subject = fmt::format("{} at {}", segment_name(event, facts.memory_segment), subject);
  }
  return {"memory",
          fmt::format("{} is {} past a {}-byte boundary", subject, facts.address_excess, boundary),
          fmt::format("needs {}: {}", boundary, memory_source(event))};
}

Row offset_row(const Event& event) {
  const auto boundary = event.rules.block.bytes;
  return {"offset",
          fmt::format("{} is {} past a {}-byte boundary", event.view.call.offset,
                      event.diagnosis.offset_excess, boundary),
          fmt::format("needs {}: {}", boundary, block_source(event))};
}

Row length_row(const Event& event) {
  const auto boundary = event.rules.block.bytes;
  return {"length",
          fmt::format("{} is {} short of a multiple of {}", event.view.call.length,
                      event.diagnosis.length_missing, boundary),
          fmt::format("needs {}: {}", boundary, block_source(event))};
}

Row segment_row(const Event& event) {
  const Diagnosis& facts = event.diagnosis;
  const bool by_memory = event.rules.vector == VectorRule::memory;
  return {
      "length",
      fmt::format("{} is {} bytes, no multiple of {}", segment_name(event, facts.length_segment),
                  facts.segment_length, facts.segment_boundary),
      fmt::format("needs {} in each segment: {}", facts.segment_boundary,
                  by_memory ? memory_source(event) : block_source(event))};
}

std::vector<Row> broken_rows(const Event& event) {
  const Diagnosis& facts = event.diagnosis;
  std::vector<Row> rows;
  if ((facts.broken & kMemory) != 0) rows.push_back(memory_row(event));
  if ((facts.broken & kOffset) != 0) rows.push_back(offset_row(event));
  if ((facts.broken & kLength) != 0) {
    if (facts.length_missing != 0) rows.push_back(length_row(event));
    if (facts.segment_boundary != 0) rows.push_back(segment_row(event));
  }
  return rows;
}

std::string nearest_text(const Event& event) {
  const Diagnosis& facts = event.diagnosis;
  const char* what = event.action == Action::rejected ? "nearest request that works"
                                                      : "nearest request that goes down as it is";
  std::string text =
      fmt::format("{}: {} bytes at offset {}", what, facts.nearest_length, facts.nearest_offset);
  if (facts.segment_boundary != 0) text += ", in one piece";
  if (event.rules.memory.bytes > 1) {
    text += fmt::format(", buffer on a {}-byte boundary", event.rules.memory.bytes);
  }
  return text;
}

std::string fallback_text(const Event& event) {
  return fmt::format("alignfs: {}\n  said once for each device; {}", headline(event),
                     advice_for(event));
}

}  // namespace

std::string headline(const Event& event) {
  if (event.action == Action::fallback) {
    return fmt::format("fallback: {} ({} on {}, {} by {})", reason_for(event.cause),
                       file_text(event), device_text(event),
                       is_found_at_open(event.cause) ? "opened" : "read",
                       process_text(event.process));
  }
  return fmt::format("{}: {} on {} by {}", outcome_text(event), call_text(event), file_text(event),
                     process_text(event.process));
}

std::string to_text(const Event& event) {
  if (event.action == Action::fallback) return fallback_text(event);
  std::string text = "alignfs: " + headline(event);
  const std::vector<Row> rows = broken_rows(event);
  std::size_t width = 0;
  for (const Row& row : rows) width = std::max(width, row.fact.size());
  for (const Row& row : rows) {
    text += fmt::format("\n  {}  {:<{}}   {}", row.name, row.fact, width, row.need);
  }
  if (event.view.kind != CallView::Kind::seen && !event.view.unseen.empty()) {
    text += "\n  buffer not seen: " + printable(event.view.unseen);
  }
  text += "\n  " + nearest_text(event);
  text += fmt::format("\n  {}: {}", name_of(event.process.runtime), advice_for(event));
  return text;
}

}  // namespace alignfs
