// Calls that make, find, move and remove names, on the mount and on a plain directory.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"
#include "mount/support/parity.h"

namespace alignfs::test {
namespace {

class Parity : public ModeTest {};

INSTANTIATE_TEST_SUITE_P(Names, Parity, ::testing::ValuesIn(kEveryMode), mode_name);

struct NamedFlags {
  const char* name;
  int flags;
};

/// O_NONBLOCK throughout, so that a fifo without a peer does not hold up the test.
ParityCase open_case(const std::string& name, const NamedFlags& access, const NamedFlags& extra) {
  const int flags = access.flags | extra.flags | O_NONBLOCK;
  return {"open(" + name + ", " + access.name + "|" + extra.name + ")", [=](Probe& probe) {
            const Fd fd = probe.open(name, flags, 0640);
            if (!fd) return;
            probe.status_of(fd);
            probe.note("F_GETFL", fcntl(fd.get(), F_GETFL) & ~O_LARGEFILE);
            char byte = 'x';
            if ((flags & O_ACCMODE) == O_RDONLY) probe.note("write", write(fd.get(), &byte, 1));
            if ((flags & O_ACCMODE) == O_WRONLY) probe.note("read", read(fd.get(), &byte, 1));
          }};
}

TEST_P(Parity, Open) {
  std::vector<ParityCase> cases;
  for (const std::string& name : names()) {
    for (const NamedFlags& extra : {NamedFlags{"0", 0},
                                    {"CREAT", O_CREAT},
                                    {"EXCL", O_CREAT | O_EXCL},
                                    {"TRUNC", O_TRUNC},
                                    {"DIRECTORY", O_DIRECTORY},
                                    {"NOFOLLOW", O_NOFOLLOW},
                                    {"TMPFILE", O_TMPFILE}}) {
      cases.push_back(open_case(name, {"RDONLY", O_RDONLY}, extra));
      cases.push_back(open_case(name, {"RDWR", O_RDWR}, extra));
    }
    for (const NamedFlags& extra :
         {NamedFlags{"CREAT|TRUNC|NOFOLLOW", O_CREAT | O_TRUNC | O_NOFOLLOW},
          {"APPEND", O_APPEND},
          {"PATH", O_PATH},
          {"PATH|NOFOLLOW", O_PATH | O_NOFOLLOW},
          {"DIRECT", O_DIRECT},
          {"SYNC", O_SYNC},
          {"NOATIME", O_NOATIME}}) {
      cases.push_back(open_case(name, {"WRONLY", O_WRONLY}, extra));
    }
  }
  compare(cases, GetParam());
}

TEST_P(Parity, OpenAndCreateAsAnotherUser) {
  std::vector<ParityCase> cases;
  for (const mode_t mode : {0u, 0200u, 0400u, 0600u, 0004u, 0002u, 0006u, 0060u}) {
    for (const int flags : {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_CREAT, O_WRONLY | O_TRUNC}) {
      for (const bool own : {false, true}) {
        const std::string name = "mode " + std::to_string(mode) + " flags " +
                                 std::to_string(flags) + (own ? " own" : " other's");
        cases.push_back({name,
                         [=](Probe& probe) {
                           const std::string file = own ? "mine" : "file";
                           if (own) probe.open(file, O_CREAT | O_EXCL | O_WRONLY, mode);
                           probe.open(file, flags, 0666);
                           probe.status(file);
                         },
                         12345});
      }
    }
  }
  for (const mode_t mode : {0755u, 01777u, 02775u, 04711u, 06777u}) {
    cases.push_back({"create with mode " + std::to_string(mode),
                     [=](Probe& probe) {
                       probe.open("new", O_CREAT | O_WRONLY, mode);
                       probe.note("mkdir", mkdirat(probe.dir(), "newdir", mode));
                       probe.note("mknod", mknodat(probe.dir(), "newfifo", S_IFIFO | mode, 0));
                       probe.note("device",
                                  mknodat(probe.dir(), "newdev", S_IFCHR | mode, makedev(1, 3)));
                       probe.note("symlink", symlinkat("to", probe.dir(), "newlink"));
                       for (const char* name : {"new", "newdir", "newfifo", "newlink"}) {
                         probe.status(name);
                       }
                     },
                     12345});
  }
  compare(cases, GetParam());
}

TEST_P(Parity, MakeAndRemove) {
  std::vector<ParityCase> cases;
  for (const std::string& name : names()) {
    const auto add = [&](const std::string& what, const std::function<int(int)>& call) {
      cases.push_back({what + " " + name, [=](Probe& probe) {
                         probe.note(what, call(probe.dir()));
                         probe.status(name);
                       }});
    };
    const char* const text = names()[static_cast<std::size_t>(&name - names().data())].c_str();
    add("mkdir", [=](int dir) { return mkdirat(dir, text, 0751); });
    add("unlink", [=](int dir) { return unlinkat(dir, text, 0); });
    add("rmdir", [=](int dir) { return unlinkat(dir, text, AT_REMOVEDIR); });
    add("symlink", [=](int dir) { return symlinkat("some target", dir, text); });
    add("fifo", [=](int dir) { return mknodat(dir, text, S_IFIFO | 0600, 0); });
    add("socket", [=](int dir) { return mknodat(dir, text, S_IFSOCK | 0600, 0); });
    add("regular", [=](int dir) { return mknodat(dir, text, S_IFREG | 0604, 0); });
    add("char device", [=](int dir) { return mknodat(dir, text, S_IFCHR | 0600, makedev(1, 7)); });
    add("block device",
        [=](int dir) { return mknodat(dir, text, S_IFBLK | 0600, makedev(7, 99)); });
    add("readlink", [=](int dir) {
      char target[256];
      return static_cast<int>(readlinkat(dir, text, target, sizeof target));
    });
    add("link from file", [=](int dir) { return linkat(dir, "file", dir, text, 0); });
    add("link to other", [=](int dir) { return linkat(dir, text, dir, "new", 0); });
    add("link follow", [=](int dir) { return linkat(dir, text, dir, "new", AT_SYMLINK_FOLLOW); });
  }
  compare(cases, GetParam());
}

TEST_P(Parity, Rename) {
  std::vector<ParityCase> cases;
  const std::vector<std::string> sources = {"file", "hard", "dir",     "full",
                                            "link", "fifo", "missing", "full/below"};
  const std::vector<std::string> targets = {"file",    "other", "dir",   "full",      "dangling",
                                            "missing", "hard",  "dir/x", "full/below"};
  constexpr unsigned kNoReplace = 1, kExchange = 2;
  for (const std::string& from : sources) {
    for (const std::string& to : targets) {
      for (const unsigned flags : {0u, kNoReplace, kExchange, kNoReplace | kExchange}) {
        cases.push_back(
            {"rename(" + from + ", " + to + ", " + std::to_string(flags) + ")", [=](Probe& probe) {
               probe.note("rename",
                          renameat2(probe.dir(), from.c_str(), probe.dir(), to.c_str(), flags));
               probe.status(from);
               probe.status(to);
             }});
      }
    }
  }
  compare(cases, GetParam());
}

TEST_P(Parity, StickyAndForeignDirectories) {
  std::vector<ParityCase> cases;
  const auto as_other = [&](const std::string& what, const std::function<long(int)>& call) {
    cases.push_back({what, [=](Probe& probe) { probe.note(what, call(probe.dir())); }, 12345});
  };
  as_other("unlink other's file", [](int dir) { return unlinkat(dir, "file", 0); });
  as_other("rename other's file", [](int dir) { return renameat(dir, "file", dir, "mine"); });
  as_other("unlink below other's dir", [](int dir) { return unlinkat(dir, "full/below", 0); });
  as_other("mkdir below other's dir", [](int dir) { return mkdirat(dir, "dir/new", 0755); });
  as_other("chmod other's file", [](int dir) { return fchmodat(dir, "file", 0777, 0); });
  as_other("chown other's file", [](int dir) { return fchownat(dir, "file", 12345, 12345, 0); });
  as_other("truncate other's file", [](int dir) {
    return truncate(("/proc/self/fd/" + std::to_string(dir) + "/file").c_str(), 0);
  });
  as_other("give own file away", [](int dir) {
    close(openat(dir, "mine", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    return fchownat(dir, "mine", 0, 0, 0);
  });
  as_other("link other's file", [](int dir) { return linkat(dir, "file", dir, "mine", 0); });
  as_other("chmod own file to setgid", [](int dir) {
    close(openat(dir, "mine", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    return fchmodat(dir, "mine", 06755, 0);
  });
  for (const char* name : {"file", "dir", "full/below"}) {
    for (const int mode : {F_OK, R_OK, W_OK, X_OK, R_OK | W_OK, R_OK | X_OK}) {
      as_other("access " + std::string(name) + " " + std::to_string(mode),
               [=](int dir) { return faccessat(dir, name, mode, 0); });
    }
  }
  compare(cases, GetParam());
}

}  // namespace
}  // namespace alignfs::test
