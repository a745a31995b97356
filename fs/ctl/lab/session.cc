#include "alignfs/ctl/lab/session.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <utility>

#include "alignfs/ctl/commands.h"
#include "alignfs/ctl/geometry.h"
#include "alignfs/ctl/lab/compare.h"
#include "alignfs/ctl/lab/interrupt.h"
#include "alignfs/ctl/units.h"
#include "alignfs/report/printable.h"

namespace alignfs::ctl::lab {
namespace {

constexpr unsigned kMaxDepth = 8;
/// More would scroll by unread.
constexpr std::uint64_t kMostShown = 64 * 1024;

std::vector<std::string> rest_of(const std::vector<std::string>& words, std::size_t from) {
  return {words.begin() + std::ptrdiff_t(std::min(from, words.size())), words.end()};
}

/// Calls `print` for each line of `text`.
void each_line(const std::string& text, const Session::Print& print) {
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    print(text.substr(at, end - at));
    at = end + 1;
  }
}

std::uint64_t shown_bytes(const std::string& word) {
  const auto bytes = parse_bytes(word, "length");
  if (bytes <= kMostShown) return bytes;
  throw CommandError(fmt::format("{} bytes are more than {}, the most that is shown at a time",
                                 bytes, kMostShown));
}

/// "00000000  61 62 ...  |ab...|" for each 16 bytes, repetitions as "*".
std::string hexdump_text(const std::string& bytes, std::uint64_t offset) {
  constexpr std::size_t kWidth = 16;
  std::string text, before;
  bool repeated = false;
  for (std::size_t at = 0; at < bytes.size(); at += kWidth) {
    const auto row = bytes.substr(at, kWidth);
    if (at != 0 && row == before && at + kWidth < bytes.size()) {
      if (!std::exchange(repeated, true)) text += "*\n";
      continue;
    }
    repeated = false;
    before = row;
    std::string numbers, letters;
    for (const char letter : row) {
      numbers += fmt::format("{:02x} ", static_cast<unsigned char>(letter));
      letters += letter >= ' ' && letter <= '~' ? letter : '.';
    }
    text += fmt::format("{:08x}  {:<{}} |{}|\n", offset + at, numbers, 3 * kWidth, letters);
  }
  return text;
}

}  // namespace

struct Session::Command {
  const char* name;
  const char* arguments;
  const char* help;
  const char* example;
  void (Session::*run)(const Words& words);
  std::size_t at_least = 0;  ///< arguments
  std::size_t at_most = 0;
  /// Words that may stand among the arguments.
  std::vector<std::string> completions = {};

  std::string usage() const {
    return *arguments == '\0' ? name : fmt::format("{} {}", name, arguments);
  }
};

const std::vector<Session::Command>& Session::commands() {
  constexpr std::size_t kAny = 100;
  static const std::vector<std::string> kPlaces = {"@0", "mem+", "x"};
  static const std::vector<Command> kCommands = {
      {"help", "[COMMAND]", "this list, or one command with an example", "help sweep",
       &Session::help, 0, 1},
      {"geometry", "", "what direct I/O needs of this file, and who asks for it", "geometry",
       &Session::geometry},
      {"open",
       "direct|plain [dsync|sync] [ro]",
       "opens the file anew: with O_DIRECT or without, each write on the media, read-only",
       "open direct dsync",
       &Session::open,
       1,
       3,
       {"direct", "plain", "dsync", "sync", "ro"}},
      {"read", "BYTES [@OFFSET] [mem+BYTES] [xTIMES]",
       "pread into a buffer on a page, or that many bytes past one", "read 4k @512 mem+16",
       &Session::read, 1, kAny, kPlaces},
      {"write", "BYTES [@OFFSET] [mem+BYTES] [xTIMES]",
       "pwrite of letters, another one each time; x8 goes on behind each before", "write 1000 @512",
       &Session::write, 1, kAny, kPlaces},
      {"readv",
       "BYTES[+PAST],... [@OFFSET]",
       "preadv; each segment with an address of its own",
       "readv 4k,512+8 @0",
       &Session::readv,
       1,
       kAny,
       {"@0"}},
      {"writev",
       "BYTES[+PAST],... [@OFFSET]",
       "pwritev; each segment with an address of its own",
       "writev 512,512,100 @0",
       &Session::writev,
       1,
       kAny,
       {"@0"}},
      {"append",
       "BYTES [mem+BYTES]",
       "write to a descriptor with O_APPEND",
       "append 100",
       &Session::append,
       1,
       3,
       {"mem+"}},
      {"truncate", "SIZE", "ftruncate, longer or shorter", "truncate 10", &Session::truncate, 1, 1},
      {"fsync", "", "what was written goes to the media", "fsync", &Session::fsync},
      {"map", "OFFSET BYTES", "mmap, shared with everybody", "map 0 8k", &Session::map, 2, 2},
      {"poke", "OFFSET TEXT", "a store through the map; the offset is one of the file",
       "poke 3 \"n\"", &Session::poke, 2, 2},
      {"peek", "OFFSET BYTES", "a load through the map", "peek 0 16", &Session::peek, 2, 2},
      {"msync", "", "what was stored through the map goes to the media", "msync", &Session::msync},
      {"hexdump", "OFFSET BYTES", "what the file holds, read past all that was opened here",
       "hexdump 0 64", &Session::hexdump, 2, 2},
      {"compare",
       "read|write|readv|writev ...",
       "a request on copies: raw O_DIRECT, alignfs that refuses, alignfs that bounces",
       "compare write 1000 @512",
       &Session::compare,
       2,
       kAny,
       {"read", "write", "readv", "writev"}},
      {"sweep",
       "read|write mem|offset|length FROM..TO step BYTES [BYTES] [@OFFSET] [mem+BYTES]",
       "on a copy, a row for each value: what works, what does not, which rule shows",
       "sweep write mem 0..512 step 64",
       &Session::sweep,
       5,
       kAny,
       {"read", "write", "mem", "offset", "length", "step", "0..512"}},
      {"why", "", "the last explanation in full", "why", &Session::why},
      {"save", "FILE", "the lines so far, to be replayed; FILE must be new", "save session.lab",
       &Session::save, 1, 1},
      {"run", "FILE", "the lines of a file", "run session.lab", &Session::replay, 1, 1},
      {"quit", "", "the end, as is Ctrl-D", "quit", &Session::quit},
  };
  return kCommands;
}

const Session::Command& Session::find(const std::string& name) {
  const auto& all = commands();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const Command& command) { return command.name == name; });
  if (found == all.end()) {
    throw CommandError(fmt::format("'{}' is no command (help lists them)", printable(name)));
  }
  return *found;
}

std::vector<std::string> Session::completions(const Words& words) {
  std::vector<std::string> found;
  if (words.size() <= 1) {
    for (const auto& command : commands()) found.emplace_back(command.name);
    return found;
  }
  const auto& word = words.back();
  if (words[0] == "help") return completions({});
  // A number may be followed by its unit.
  if (!word.empty() && word.find_first_not_of("@mem+0123456789") == word.npos &&
      word.back() >= '0' && word.back() <= '9') {
    for (const char* unit : {"k", "m", "g"}) found.push_back(word + unit);
  }
  for (const auto& command : commands()) {
    if (command.name != words[0]) continue;
    found.insert(found.end(), command.completions.begin(), command.completions.end());
  }
  return found;
}

Session::Session(std::string path, Print print) : path_(std::move(path)), print_(std::move(print)) {
  OpenHow how;
  how.read_only = ::access(path_.c_str(), W_OK) != 0;
  try {
    open_as(how);
  } catch (const CommandError&) {
    // The same again without O_DIRECT tells whether that was the reason.
    how.direct = false;
    open_as(how);
  }
}

void Session::run(const std::string& line) {
  const auto words = split_words(line);
  if (words.empty()) return;
  const auto& command = find(words[0]);
  const auto arguments = rest_of(words, 1);
  if (arguments.size() < command.at_least || arguments.size() > command.at_most) {
    throw CommandError(
        fmt::format("it goes like this: {}; for example: {}", command.usage(), command.example));
  }
  (this->*command.run)(arguments);
  if (depth_ == 0 && words[0] != "save" && words[0] != "quit") done_.push_back(line);
}

void Session::help(const Words& words) {
  if (!words.empty()) {
    const auto& command = find(words[0]);
    print_(command.usage());
    print_(fmt::format("  {}", command.help));
    print_(fmt::format("  for example: {}", command.example));
    return;
  }
  std::size_t width = 0;
  for (const auto& command : commands())
    width = std::max(width, std::string(command.example).size());
  for (const auto& command : commands()) {
    print_(fmt::format("  {:<{}}  {}", command.example, width, command.help));
  }
  print_(
      "Numbers may end in k, m or g, or begin with 0x. mem+16 is a buffer 16 bytes past a page.");
}

void Session::geometry(const Words&) { each_line(geometry_text(path_), print_); }

void Session::open_as(const OpenHow& how) {
  auto file = std::make_unique<LabFile>(path_, how);
  auto explainer = std::make_unique<Explainer>(path_);
  auto meter = std::make_unique<BelowMeter>(path_);
  map_.reset();
  file_ = std::move(file);
  explainer_ = std::move(explainer);
  meter_ = std::move(meter);
  print_(fmt::format("{}: {} bytes, open {}{}", path_, file_->size(), how.text(),
                     explainer_->on_mount() ? ", on alignfs" : ""));
  if (how.direct && explainer_->unproven()) {
    print_("nothing vouches for direct I/O here: misaligned requests pass (geometry)");
  }
}

void Session::open(const Words& words) {
  OpenHow how;
  if (words[0] != "direct" && words[0] != "plain") {
    throw CommandError(fmt::format("'{}' is neither direct nor plain", words[0]));
  }
  how.direct = words[0] == "direct";
  for (const auto& word : rest_of(words, 1)) {
    if (word == "dsync") {
      how.durability = O_DSYNC;
    } else if (word == "sync") {
      how.durability = O_SYNC;
    } else if (word == "ro") {
      how.read_only = true;
    } else {
      throw CommandError(fmt::format("'{}' is none of dsync, sync and ro", word));
    }
  }
  open_as(how);
}

void Session::tell(const Outcome& outcome, Direction direction, const Below& below) {
  print_(outcome_text(outcome));
  const auto explanation = explainer_->explain(outcome, direction, below);
  if (!explanation.empty()) {
    last_explanation_ = explanation;
    each_line(explanation, print_);
  } else if (outcome.error == EBADF && file_->how().read_only) {
    print_("the file is open for reading alone (open direct, open plain)");
  } else if (const auto adapted = explainer_->adapted(below); !adapted.empty()) {
    last_explanation_ = adapted;
    each_line(rules_of(adapted), print_);
  }
  print_(below_text(below, explainer_->block()));
}

void Session::transfer(Request request) {
  Buffers buffers(request);
  if (request.direction == Direction::write) buffers.fill(char('a' + writes_++ % 26));
  forget_interrupt();
  meter_->start();
  const auto outcome = file_->transfer(request, buffers);
  const auto below = meter_->stop(outcome.refused());
  if (request.times > 1) {
    print_(fmt::format("{} of {} calls, {} bytes; the time of all and the last:", outcome.calls,
                       request.times, outcome.all_bytes));
  }
  tell(outcome, request.direction, below);
}

void Session::read(const Words& words) { transfer(parse_request(Direction::read, words)); }
void Session::write(const Words& words) { transfer(parse_request(Direction::write, words)); }
void Session::readv(const Words& words) { transfer(parse_vector(Direction::read, words)); }
void Session::writev(const Words& words) { transfer(parse_vector(Direction::write, words)); }

void Session::append(const Words& words) {
  auto request = parse_request(Direction::write, words);
  if (request.offset != 0)
    throw CommandError("an append goes to the end of file, not to an @OFFSET");
  request.append = true;
  transfer(std::move(request));
}

void Session::measured(const std::function<Outcome()>& call) {
  meter_->start();
  const auto outcome = call();
  tell(outcome, Direction::write, meter_->stop(outcome.refused()));
}

void Session::truncate(const Words& words) {
  const auto size = parse_bytes(words[0], "size");
  measured([&] { return file_->truncate(size); });
}

void Session::fsync(const Words&) {
  measured([&] { return file_->sync(); });
}

LabMap& Session::mapped() {
  if (!map_) throw CommandError("nothing is mapped yet; for example: map 0 8k");
  return *map_;
}

void Session::map(const Words& words) {
  const auto offset = parse_bytes(words[0], "offset");
  map_ = std::make_unique<LabMap>(*file_, offset, parse_bytes(words[1], "length"));
  print_(fmt::format("mapped: {} bytes from offset {}{}", map_->length(), map_->offset(),
                     explainer_->maps_are_of_the_backing()
                         ? "; the map is of the backing file itself, past the daemon"
                         : ""));
}

void Session::poke(const Words& words) {
  const auto offset = parse_bytes(words[0], "offset");
  meter_->start();
  mapped().poke(offset, words[1]);
  print_(fmt::format("stored at {}: {}", offset, plural(words[1].size(), "byte")));
  print_(below_text(meter_->stop(false), explainer_->block()));
}

void Session::peek(const Words& words) {
  const auto offset = parse_bytes(words[0], "offset");
  const auto length = shown_bytes(words[1]);
  meter_->start();
  const auto bytes = mapped().peek(offset, length);
  const auto below = meter_->stop(false);
  each_line(hexdump_text(bytes, offset), print_);
  print_(below_text(below, explainer_->block()));
}

void Session::msync(const Words&) {
  auto& map = mapped();
  measured([&] { return map.sync(); });
}

void Session::hexdump(const Words& words) {
  const auto offset = parse_bytes(words[0], "offset");
  const auto bytes = file_->bytes_at(offset, shown_bytes(words[1]));
  if (bytes.empty()) print_(fmt::format("the file ends at {}", file_->size()));
  each_line(hexdump_text(bytes, offset), print_);
}

void Session::compare(const Words& words) {
  const auto& what = words[0];
  const bool vector = what.ends_with('v');
  const auto direction = what.starts_with("read") ? Direction::read : Direction::write;
  if (what != "read" && what != "write" && what != "readv" && what != "writev") {
    throw CommandError(fmt::format("'{}' is none of read, write, readv and writev", what));
  }
  const auto rest = rest_of(words, 1);
  forget_interrupt();
  each_line(
      lab::compare(*file_, vector ? parse_vector(direction, rest) : parse_request(direction, rest)),
      print_);
}

void Session::sweep(const Words& words) {
  forget_interrupt();
  each_line(lab::sweep(*file_, parse_sweep(words)), print_);
}

void Session::why(const Words&) {
  auto explanation = last_explanation_;
  if (explanation.empty()) explanation = explainer_->last_error();
  each_line(explanation.empty() ? "nothing was refused yet" : explanation, print_);
}

void Session::save(const Words& words) {
  const UniqueFd fd(::open(words[0].c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!fd) throw cannot("save to", words[0], errno);
  std::string text;
  for (const auto& line : done_) text += line + "\n";
  if (::write(fd.get(), text.data(), text.size()) != ssize_t(text.size())) {
    throw cannot("save to", words[0], errno);
  }
  print_(fmt::format("lines saved: {}", done_.size()));
}

void Session::replay(const Words& words) {
  if (depth_ == kMaxDepth) throw CommandError("the files run each other without end");
  std::ifstream file(words[0]);
  if (!file) throw cannot("read", words[0], errno);
  ++depth_;
  try {
    for (std::string line; !over_ && !interrupted() && std::getline(file, line);) {
      print_("> " + line);
      run(line);
    }
  } catch (...) {
    --depth_;
    throw;
  }
  --depth_;
}

void Session::quit(const Words&) { over_ = true; }

}  // namespace alignfs::ctl::lab
