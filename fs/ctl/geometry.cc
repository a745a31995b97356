// alignctl geometry: what direct I/O needs of a file, who asks for it, and what lies below.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "alignfs/align/geometry.h"
#include "alignfs/ctl/commands.h"
#include "alignfs/ctl/disk.h"
#include "alignfs/ctl/geometry.h"
#include "alignfs/ctl/mounts.h"
#include "alignfs/io/probe.h"

namespace alignfs::ctl {
namespace {

using Json = nlohmann::ordered_json;

struct Rule {
  std::uint32_t bytes = 0;
  std::string source;  ///< "statx", "option", "fallback"
};

/// What an alignfs mount does with a file.
struct Mounted {
  std::string mode, policy;
  std::string backing;  ///< the file below
};

/// What holds for one path.
struct Facts {
  std::string path;
  Rule memory, write, read;
  std::string verdict;
  MountEntry filesystem;
  std::optional<Disk> disk;
  std::optional<Mounted> mounted;
};

Rule rule_of(const Requirement& requirement) {
  return {requirement.bytes, name_of(requirement.source)};
}

/// As the daemon would see the file, or files in the directory.
Geometry probe(const std::string& path) {
  // Before it is opened: a FIFO would be waited for, and other devices do things then.
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0) throw cannot("look at", path, errno);
  if (!S_ISREG(facts.st_mode) && !S_ISDIR(facts.st_mode) && !S_ISBLK(facts.st_mode)) {
    throw CommandError(fmt::format("{} is neither a file, a directory nor a disk", path));
  }
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd) throw cannot("open", path, errno);
  const auto backing =
      S_ISDIR(facts.st_mode) ? probe_directory(fd.get()) : enable_direct_io(fd.get());
  if (!backing)
    throw cannot(S_ISDIR(facts.st_mode) ? "try a file in" : "ask", path, backing.code());
  return make_geometry(*backing, {});
}

void fill_from_mount(Facts& facts, const AlignfsMount& mount) {
  Mounted mounted;
  std::map<std::string, std::string> options;
  try {
    options = mount.options();
  } catch (const CommandError&) {
    // The mount is somebody else's; what the file itself says is open to all.
  }
  const auto alignment = alignment_of(facts.path);
  const auto mode = xattr_of(facts.path, "user.alignfs.mode");
  mounted.mode = mode ? *mode : options["mode"];
  mounted.policy = options["unaligned"];
  if (options.contains("source")) {
    const auto below = mount.path_on_mount(facts.path);
    mounted.backing = options["source"] + (below == "/" ? "" : below);
  }
  if (alignment) {
    facts.memory = {alignment->memory, options["mem_align.source"]};
    facts.write = {alignment->offset, alignment->source};
    facts.read = {alignment->read_offset, alignment->source};
    facts.verdict = alignment->direct_io;
  } else {
    facts.memory = {number_of(options["mem_align.effective"]), options["mem_align.source"]};
    facts.write = {number_of(options["align.effective"]), options["align.source"]};
    facts.read = facts.write;
    facts.verdict = options["direct_io"];
  }
  facts.mounted = std::move(mounted);
}

Facts facts_of(const std::string& path) {
  Facts facts;
  facts.path = path;
  facts.filesystem = mount_of(path);
  if (const auto mount = AlignfsMount::of(path)) {
    fill_from_mount(facts, *mount);
    return facts;
  }
  const auto geometry = probe(path);
  facts.memory = rule_of(geometry.judged.memory);
  facts.write = rule_of(geometry.judged.write);
  facts.read = rule_of(geometry.judged.read);
  facts.verdict = name_of(geometry.verdict);
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) throw cannot("look at", path, errno);
  facts.disk =
      find_disk(S_ISBLK(status.st_mode) ? status.st_rdev : status.st_dev, facts.filesystem.source);
  return facts;
}

/// The file below a mount, where it can be reached from here.
std::optional<Facts> facts_below(const Facts& facts) {
  if (!facts.mounted || facts.mounted->backing.empty()) return std::nullopt;
  try {
    return facts_of(facts.mounted->backing);
  } catch (const CommandError&) {
    return std::nullopt;
  }
}

std::string asked_by(const Rule& rule, const Facts& facts, const char* what, const char* option) {
  if (rule.source == "option") return fmt::format("-o {}={}", option, rule.bytes);
  if (rule.source != "statx") return "assumed: nothing states it";
  const auto disk = facts.disk ? facts.disk->name : facts.filesystem.type;
  return fmt::format("{} of {}, from statx", what, disk);
}

std::string verdict_text(const std::string& verdict) {
  if (verdict == "native") return "native: O_DIRECT is direct I/O here";
  if (verdict == "unproven") {
    return "unproven: O_DIRECT is accepted, but nothing says that it is direct I/O; misaligned "
           "requests pass";
  }
  if (verdict == "refused") return "refused: O_DIRECT cannot be set; all I/O is buffered";
  return "unknown";
}

std::string disk_text(const Disk& disk) {
  auto text = disk.name;
  if (!disk.partition_of.empty()) text += fmt::format(", a partition of {}", disk.partition_of);
  text +=
      fmt::format(": logical block {}, physical block {}", disk.logical_block, disk.physical_block);
  if (disk.dma_alignment != 0) text += fmt::format(", DMA alignment {}", disk.dma_alignment);
  if (!disk.backing_file.empty()) text += fmt::format(", over {}", disk.backing_file);
  return text;
}

/// "NAME  VALUE" below a heading.
std::string row(const char* name, const std::string& value) {
  return fmt::format("  {:<11} {}\n", name, value);
}

std::string rows_of(const Facts& facts, const Facts& rules_from) {
  const auto rule = [&](const char* name, const Rule& value, const char* what, const char* option) {
    if (value.bytes == 0) return row(name, "any");
    return row(name,
               fmt::format("{:<6} {}", value.bytes, asked_by(value, rules_from, what, option)));
  };
  auto text = facts.path + "\n";
  text += rule("memory", facts.memory, "DMA alignment", "mem_align");
  text += rule("offset", facts.write, "direct I/O alignment", "align");
  if (facts.read.bytes != facts.write.bytes) {
    text += rule("  of reads", facts.read, "direct I/O alignment", "align");
  }
  text += rule("length", facts.write, "direct I/O alignment", "align");
  text += row("verdict", verdict_text(facts.verdict));
  const auto& filesystem = facts.filesystem;
  text += row("filesystem", fmt::format("{} on {} ({})", filesystem.type, filesystem.mountpoint,
                                        filesystem.source));
  if (facts.disk) text += row("disk", disk_text(*facts.disk));
  return text;
}

std::string mounted_text(const Facts& facts, const std::optional<Facts>& below) {
  auto text = rows_of(facts, below ? *below : facts);
  const auto& mounted = *facts.mounted;
  auto how = "mode=" + (mounted.mode.empty() ? "unknown" : mounted.mode);
  if (!mounted.policy.empty()) how += " unaligned=" + mounted.policy;
  text += row("alignfs", how);
  if (!below) return text;
  if (facts.write.bytes > below->write.bytes || facts.memory.bytes > below->memory.bytes) {
    text += row("emulated", "stricter than what lies below");
  }
  return text + "over " + rows_of(*below, *below);
}

Json rule_json(const Rule& rule) { return {{"bytes", rule.bytes}, {"source", rule.source}}; }

Json to_json(const Facts& facts, const std::optional<Facts>& below) {
  Json object{{"path", facts.path},
              {"memory", rule_json(facts.memory)},
              {"offset", rule_json(facts.write)},
              {"read_offset", rule_json(facts.read)},
              {"length", rule_json(facts.write)},
              {"verdict", facts.verdict},
              {"filesystem",
               {{"type", facts.filesystem.type},
                {"mountpoint", facts.filesystem.mountpoint},
                {"source", facts.filesystem.source}}},
              {"disk", nullptr},
              {"mount", nullptr},
              {"below", nullptr}};
  if (facts.disk) {
    object["disk"] = {{"name", facts.disk->name},
                      {"partition_of", facts.disk->partition_of},
                      {"logical_block", facts.disk->logical_block},
                      {"physical_block", facts.disk->physical_block},
                      {"dma_alignment", facts.disk->dma_alignment},
                      {"backing_file", facts.disk->backing_file}};
  }
  if (facts.mounted) {
    object["mount"] = {{"mode", facts.mounted->mode}, {"unaligned", facts.mounted->policy}};
  }
  if (below) object["below"] = to_json(*below, std::nullopt);
  return object;
}

}  // namespace

std::string geometry_text(const std::string& path) {
  const auto facts = facts_of(path);
  return facts.mounted ? mounted_text(facts, facts_below(facts)) : rows_of(facts, facts);
}

void add_geometry(CLI::App& app, int&) {
  struct Wish {
    std::vector<std::string> paths;
    bool json = false;
  };
  auto wish = std::make_shared<Wish>();
  auto* command = app.add_subcommand("geometry", "what direct I/O needs of a file, and who asks");
  command->add_option("PATH", wish->paths, "files, directories or disks, mounted or not")
      ->required();
  command->add_flag("--json", wish->json, "one object a line");
  command->callback([wish] {
    for (const auto& path : wish->paths) {
      if (!wish->json) {
        fmt::print("{}", geometry_text(path));
        continue;
      }
      const auto facts = facts_of(path);
      fmt::print(
          "{}\n",
          to_json(facts, facts_below(facts)).dump(-1, ' ', false, Json::error_handler_t::replace));
    }
  });
}

}  // namespace alignfs::ctl
