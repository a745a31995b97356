#include "alignfs/base/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <string_view>

#include "alignfs/base/log.h"

namespace alignfs {
namespace {

constexpr std::uint32_t kMaxAlign = 64 * 1024;
constexpr unsigned kMaxThreads = 256;
constexpr unsigned kMaxPoll = 1000;
// A whole number of the coarsest blocks. Of the larger one five buffers stay below 8 MiB a worker.
constexpr std::size_t kRequestStep = kMaxAlign, kMaxRequest = 24 * kRequestStep;
constexpr std::size_t kMaxEvents = 1 << 20;

struct Parser {
  MountOptions options;
  /// Names that were given, as opposed to left at their default.
  std::vector<std::string_view> given;
};

/// Takes the value and stores it; false if the value is not one of `takes`.
using Setter = std::function<bool(Parser&, std::string_view value)>;

struct Spec {
  std::string_view name;
  std::string_view takes;  ///< "" for a flag, which takes no value
  Setter set;
};

template <typename Number>
std::optional<Number> parse_number(std::string_view text, Number low, Number high) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  // Not "number < low || number > high": that lets a NaN through.
  if (!(number >= low && number <= high)) return std::nullopt;
  return number;
}

bool set_power(std::optional<std::uint32_t>& field, std::string_view value, std::uint32_t low) {
  if (value == "auto") {
    field.reset();
    return true;
  }
  const auto number = parse_number<std::uint32_t>(value, low, kMaxAlign);
  if (!number || !is_power_of_two(*number)) return false;
  field = number;
  return true;
}

bool set_seconds(double& field, std::string_view value) {
  const auto number = parse_number<double>(value, 0, 1e9);
  if (number) field = *number;
  return number.has_value();
}

template <typename Value>
bool set_word(Value& field, std::string_view value,
              std::initializer_list<std::pair<std::string_view, Value>> words) {
  const auto* word = std::find_if(words.begin(), words.end(),
                                  [&](const auto& entry) { return entry.first == value; });
  if (word == words.end()) return false;
  field = word->second;
  return true;
}

/// An option of the kernel, of mount(8) or of fusermount3, handed on as it stands.
Setter pass_on(std::string_view name) {
  return [name](Parser& parser, std::string_view) {
    parser.options.fuse.emplace_back(name);
    return true;
  };
}

/// The same for one that another word takes back, and that concerns the daemon, too.
Setter turn(std::string_view name, bool MountOptions::*field, bool on) {
  return [=](Parser& parser, std::string_view) {
    auto& handed_on = parser.options.fuse;
    if (on) {
      handed_on.emplace_back(name);
    } else {
      std::erase(handed_on, name);
    }
    parser.options.*field = on;
    return true;
  };
}

Setter ignore() {
  return [](Parser&, std::string_view) { return true; };
}

const std::vector<Spec>& specs() {
  using Options = MountOptions;
  static const std::vector<Spec> table = [] {
    std::vector<Spec> specs = {
        {"mode", "direct, mapped or buffered",
         [](Parser& parser, std::string_view value) {
           return set_word<Options::Mode>(parser.options.mode, value,
                                          {{"direct", Options::Mode::direct},
                                           {"mapped", Options::Mode::mapped},
                                           {"buffered", Options::Mode::buffered}});
         }},
        {"unaligned", "bounce, split, reject or audit",
         [](Parser& parser, std::string_view value) {
           return set_word<Options::Unaligned>(parser.options.unaligned, value,
                                               {{"bounce", Options::Unaligned::bounce},
                                                {"split", Options::Unaligned::split},
                                                {"reject", Options::Unaligned::reject},
                                                {"audit", Options::Unaligned::audit}});
         }},
        {"enforce", "all or odirect",
         [](Parser& parser, std::string_view value) {
           return set_word<Options::Enforce>(
               parser.options.enforce, value,
               {{"all", Options::Enforce::all}, {"odirect", Options::Enforce::odirect}});
         }},
        {"align", "auto or a power of two from 512 to 65536",
         [](Parser& parser, std::string_view value) {
           return set_power(parser.options.alignment.block, value, 512);
         }},
        {"mem_align", "auto, off or a power of two from 1 to 65536",
         [](Parser& parser, std::string_view value) {
           if (value == "off") {
             parser.options.alignment.memory = 0;
             return true;
           }
           return set_power(parser.options.alignment.memory, value, 1);
         }},
        {"require_direct", "",
         [](Parser& parser, std::string_view) { return parser.options.require_direct = true; }},
        {"map_advice", "normal, sequential, random or willneed",
         [](Parser& parser, std::string_view value) {
           return set_word<MapAdvice>(parser.options.map_advice, value,
                                      {{"normal", MapAdvice::normal},
                                       {"sequential", MapAdvice::sequential},
                                       {"random", MapAdvice::random},
                                       {"willneed", MapAdvice::willneed}});
         }},
        {"map_populate", "",
         [](Parser& parser, std::string_view) { return parser.options.map_populate = true; }},
        {"passthrough", "",
         [](Parser& parser, std::string_view) { return parser.options.passthrough = true; }},
        {"dsync", "", [](Parser& parser, std::string_view) { return parser.options.dsync = true; }},
        {"engine", "auto, uring or threads",
         [](Parser& parser, std::string_view value) {
           return set_word<Options::Engine>(parser.options.engine, value,
                                            {{"auto", Options::Engine::automatic},
                                             {"uring", Options::Engine::uring},
                                             {"threads", Options::Engine::threads}});
         }},
        {"fuse_uring", "auto, off or on",
         [](Parser& parser, std::string_view value) {
           return set_word<Options::FuseUring>(parser.options.fuse_uring, value,
                                               {{"auto", Options::FuseUring::automatic},
                                                {"off", Options::FuseUring::off},
                                                {"on", Options::FuseUring::on}});
         }},
        {"poll", "microseconds from 0 to 1000",
         [](Parser& parser, std::string_view value) {
           const auto number = parse_number<unsigned>(value, 0, kMaxPoll);
           if (number) parser.options.poll = std::chrono::microseconds(*number);
           return number.has_value();
         }},
        {"share_processor", "on or off",
         [](Parser& parser, std::string_view value) {
           return set_word<bool>(parser.options.share_processor, value,
                                 {{"on", true}, {"off", false}});
         }},
        {"max_request", "auto or bytes from 65536 to 1572864, a multiple of 65536",
         [](Parser& parser, std::string_view value) {
           parser.options.max_request.reset();
           if (value == "auto") return true;
           parser.options.max_request = parse_number<std::size_t>(value, kRequestStep, kMaxRequest);
           return parser.options.max_request && *parser.options.max_request % kRequestStep == 0;
         }},
        {"threads", "auto or a number from 1 to 256",
         [](Parser& parser, std::string_view value) {
           parser.options.threads.reset();
           if (value == "auto") return true;
           parser.options.threads = parse_number<unsigned>(value, 1, kMaxThreads);
           return parser.options.threads.has_value();
         }},
        {"report", "log or log+tty",
         [](Parser& parser, std::string_view value) {
           return set_word<bool>(parser.options.report_on_terminals, value,
                                 {{"log", false}, {"log+tty", true}});
         }},
        {"events", "a number from 1 to 1048576",
         [](Parser& parser, std::string_view value) {
           const auto number = parse_number<std::size_t>(value, 1, kMaxEvents);
           if (number) parser.options.events = *number;
           return number.has_value();
         }},
        {"control", "on or off",
         [](Parser& parser, std::string_view value) {
           return set_word<bool>(parser.options.control, value, {{"on", true}, {"off", false}});
         }},
        {"log_level", "trace, debug, info, warn, error, critical or off",
         [](Parser& parser, std::string_view value) {
           parser.options.log_level = value;
           return is_log_level(parser.options.log_level);
         }},
        {"log_file", "the absolute path of a file",
         [](Parser& parser, std::string_view value) {
           parser.options.log_file = value;
           return value.starts_with('/');
         }},
        {"attr_timeout", "seconds",
         [](Parser& parser, std::string_view value) {
           return set_seconds(parser.options.attr_timeout, value);
         }},
        {"entry_timeout", "seconds",
         [](Parser& parser, std::string_view value) {
           return set_seconds(parser.options.entry_timeout, value);
         }},
        {"ro", "", turn("ro", &Options::read_only, true)},
        {"rw", "", turn("ro", &Options::read_only, false)},
        {"noatime", "", turn("noatime", &Options::no_atime, true)},
        {"atime", "", turn("noatime", &Options::no_atime, false)},
        {"fsname", "a name",
         [](Parser& parser, std::string_view value) {
           parser.options.fuse.push_back(fmt::format("fsname={}", value));
           return !value.empty();
         }},
    };
    for (const auto* name : {"allow_other", "allow_root", "auto_unmount", "suid", "nosuid", "dev",
                             "nodev", "exec", "noexec", "sync", "async"}) {
      specs.push_back({name, "", pass_on(name)});
    }
    // default_permissions is always on; the others are words of fstab that mean nothing to us.
    for (const auto* name : {"default_permissions", "defaults", "auto", "noauto", "user", "nouser",
                             "users", "nofail", "_netdev", "relatime", "norelatime"}) {
      specs.push_back({name, "", ignore()});
    }
    return specs;
  }();
  return table;
}

/// One option: sets it, or says in one line what is wrong with it.
std::string apply_option(Parser& parser, std::string_view option) {
  if (option.empty() || option.starts_with("x-") || option.starts_with("comment=")) return {};
  const auto equals = option.find('=');
  const auto name = option.substr(0, equals);
  const auto spec = std::find_if(specs().begin(), specs().end(),
                                 [&](const Spec& entry) { return entry.name == name; });
  if (spec == specs().end()) {
    return fmt::format("unknown option '{}' (see docs/options.md or alignfs -h)", name);
  }
  if (spec->takes.empty() && equals != option.npos) {
    return fmt::format("option '{}' takes no value", name);
  }
  if (!spec->takes.empty() && equals == option.npos) {
    return fmt::format("option '{}' needs a value: {}", name, spec->takes);
  }
  const auto value = equals == option.npos ? std::string_view{} : option.substr(equals + 1);
  if (!spec->set(parser, value)) {
    return fmt::format("option '{}' does not take '{}': it takes {}", name, value, spec->takes);
  }
  parser.given.push_back(spec->name);
  return {};
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> options(1);
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i] == '\\' && i + 1 < list.size()) {
      options.back() += list[++i];
    } else if (list[i] == ',') {
      options.emplace_back();
    } else {
      options.back() += list[i];
    }
  }
  return options;
}

bool is_direct(const MountOptions& options) { return options.mode == MountOptions::Mode::direct; }
bool is_mapped(const MountOptions& options) { return options.mode == MountOptions::Mode::mapped; }
bool is_not_direct(const MountOptions& options) { return !is_direct(options); }
bool may_use_io_uring(const MountOptions& options) {
  return options.engine != MountOptions::Engine::threads;
}
bool reads_device(const MountOptions& options) {
  return may_use_io_uring(options) && options.fuse_uring != MountOptions::FuseUring::on;
}
bool is_strict(const MountOptions& options) { return options.is_strict(); }

bool may_refuse(const MountOptions& options) {
  return is_direct(options) && options.unaligned == MountOptions::Unaligned::reject;
}

/// Options that others leave without effect, and when they have one.
struct Use {
  std::string_view option;
  bool (*used)(const MountOptions&);
  std::string_view by;
};
constexpr Use kUses[] = {
    {"unaligned", is_direct, "mode=direct"},
    {"enforce", is_strict, "mode=direct with unaligned=reject or audit"},
    {"align", is_direct, "mode=direct"},
    {"report", may_refuse, "mode=direct with unaligned=reject"},
    {"mem_align", is_strict, "mode=direct with unaligned=reject or audit"},
    {"require_direct", is_direct, "mode=direct"},
    {"map_advice", is_mapped, "mode=mapped"},
    {"map_populate", is_mapped, "mode=mapped"},
    {"passthrough", is_not_direct, "mode=mapped or mode=buffered"},
    {"fuse_uring", may_use_io_uring, "engine=auto or engine=uring"},
    {"poll", reads_device, "engine=auto or engine=uring with fuse_uring=auto or off"},
    {"share_processor", may_use_io_uring, "engine=auto or engine=uring"},
};

const Use* find_use(std::string_view option) {
  return std::find_if(std::begin(kUses), std::end(kUses),
                      [&](const Use& use) { return use.option == option; });
}

/// What is left to be chosen, as far as something else that was given says it.
void settle_choices(Parser& parser) {
  using FuseUring = MountOptions::FuseUring;
  auto& fuse_uring = parser.options.fuse_uring;
  // Who is told how long to look for requests is to look for them.
  const bool looks =
      std::find(parser.given.begin(), parser.given.end(), "poll") != parser.given.end();
  if (looks && fuse_uring == FuseUring::automatic) fuse_uring = FuseUring::off;
}

std::string check_combination(const Parser& parser) {
  for (const auto& option : parser.given) {
    const auto* use = find_use(option);
    if (use == std::end(kUses) || use->used(parser.options)) continue;
    return fmt::format("option '{}' is used by {} alone: add that, or leave '{}' out", option,
                       use->by, option);
  }
  if (parser.options.passthrough && parser.options.dsync) {
    return "option 'dsync' cannot be had with 'passthrough', where the kernel writes by itself: "
           "leave one of them out";
  }
  return {};
}

std::string power_name(const std::optional<std::uint32_t>& value) {
  if (!value) return "auto";
  return *value == 0 ? "off" : std::to_string(*value);
}

}  // namespace

ParsedOptions parse_mount_options(const std::vector<std::string>& arguments) {
  Parser parser;
  for (const auto& argument : arguments) {
    for (const auto& option : split(argument)) {
      if (auto complaint = apply_option(parser, option); !complaint.empty()) {
        return {{}, std::move(complaint)};
      }
    }
  }
  settle_choices(parser);
  return {parser.options, check_combination(parser)};
}

std::vector<std::pair<std::string, std::string>> list_options(const MountOptions& options) {
  const auto on_off = [](bool value) { return std::string(value ? "on" : "off"); };
  static constexpr const char* kUnaligned[] = {"bounce", "split", "reject", "audit"};
  static constexpr const char* kEnforce[] = {"all", "odirect"};
  static constexpr const char* kMode[] = {"direct", "mapped", "buffered"};
  static constexpr const char* kEngine[] = {"auto", "uring", "threads"};
  static constexpr const char* kFuseUring[] = {"auto", "off", "on"};
  static constexpr const char* kAdvice[] = {"normal", "sequential", "random", "willneed"};
  std::vector<std::pair<std::string, std::string>> list = {
      {"mode", kMode[int(options.mode)]},
      {"unaligned", kUnaligned[int(options.unaligned)]},
      {"enforce", kEnforce[int(options.enforce)]},
      {"align", power_name(options.alignment.block)},
      {"mem_align", power_name(options.alignment.memory)},
      {"require_direct", on_off(options.require_direct)},
      {"map_advice", kAdvice[int(options.map_advice)]},
      {"map_populate", on_off(options.map_populate)},
      {"passthrough", on_off(options.passthrough)},
      {"dsync", on_off(options.dsync)},
      {"engine", kEngine[int(options.engine)]},
      {"fuse_uring", kFuseUring[int(options.fuse_uring)]},
      {"poll", std::to_string(options.poll.count())},
      {"share_processor", on_off(options.share_processor)},
      {"max_request", options.max_request ? std::to_string(*options.max_request) : "auto"},
      {"threads", options.threads ? std::to_string(*options.threads) : "auto"},
      {"report", options.report_on_terminals ? "log+tty" : "log"},
      {"events", std::to_string(options.events)},
      {"control", on_off(options.control)},
      {"log_level", options.log_level},
      {"log_file", options.log_file},
      {"attr_timeout", fmt::format("{}", options.attr_timeout)},
      {"entry_timeout", fmt::format("{}", options.entry_timeout)},
      {"fuse", fmt::format("{}", fmt::join(options.fuse, ","))},
  };
  std::erase_if(list, [&](const auto& row) {
    const auto* use = find_use(row.first);
    return use != std::end(kUses) && !use->used(options);
  });
  return list;
}

}  // namespace alignfs
