// Modes, owners, times, xattrs and ACLs, on the mount and on a plain directory.

#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"
#include "mount/support/parity.h"

namespace alignfs::test {
namespace {

class AttributeParity : public ModeTest {};

INSTANTIATE_TEST_SUITE_P(Attributes, AttributeParity, ::testing::ValuesIn(kEveryMode), mode_name);

/// A path that follows `name` from the directory `dir`, for calls without an "at" form.
std::string path_of(int dir, const std::string& name) {
  return "/proc/self/fd/" + std::to_string(dir) + "/" + name;
}

TEST_P(AttributeParity, ModeAndOwner) {
  std::vector<ParityCase> cases;
  for (const std::string& name : names()) {
    for (const mode_t mode : {0u, 0644u, 01777u, 02755u, 04755u, 06111u}) {
      cases.push_back({"chmod " + name + " " + std::to_string(mode), [=](Probe& probe) {
                         probe.note("chmod", fchmodat(probe.dir(), name.c_str(), mode, 0));
                         probe.status(name);
                       }});
    }
    for (const int flags : {0, AT_SYMLINK_NOFOLLOW}) {
      cases.push_back({"chown " + name, [=](Probe& probe) {
                         probe.note("setuid", fchmodat(probe.dir(), name.c_str(), 06755, 0));
                         probe.note("owner", fchownat(probe.dir(), name.c_str(), 7, -1, flags));
                         probe.status(name);
                         probe.note("group", fchownat(probe.dir(), name.c_str(), -1, 8, flags));
                         probe.status(name);
                       }});
    }
  }
  for (const mode_t mode : {04755u, 02755u, 06777u, 02644u}) {
    cases.push_back({"chown by another user drops " + std::to_string(mode),
                     [=](Probe& probe) {
                       probe.open("mine", O_CREAT | O_WRONLY);
                       probe.note("chmod", fchmodat(probe.dir(), "mine", mode, 0));
                       probe.status("mine");
                       probe.note("chown", fchownat(probe.dir(), "mine", -1, 12345, 0));
                       probe.status("mine");
                     },
                     12345});
  }
  compare(cases, GetParam());
}

TEST_P(AttributeParity, SetuidBitsGoOnWriteAndTruncate) {
  std::vector<ParityCase> cases;
  for (const mode_t mode : {04777u, 02777u, 06777u, 02767u}) {
    for (const uid_t uid : {0u, 12345u}) {
      const std::string text = std::to_string(mode) + " as " + std::to_string(uid);
      const auto prepared = [mode](Probe& probe, const std::function<void(const Fd&)>& change) {
        const Fd fd = probe.open_data("mine", O_RDWR | O_CREAT);
        probe.note("chmod", fchmod(fd.get(), mode));
        change(fd);
        probe.status("mine");
      };
      cases.push_back({"write " + text,
                       [=](Probe& probe) {
                         prepared(probe, [&](const Fd& fd) { probe.pwrite(fd, 0, 4096, 1); });
                       },
                       uid});
      cases.push_back({"ftruncate " + text,
                       [=](Probe& probe) {
                         prepared(probe, [&](const Fd& fd) {
                           probe.note("ftruncate", ftruncate(fd.get(), 100));
                         });
                       },
                       uid});
      cases.push_back({"open with O_TRUNC " + text,
                       [=](Probe& probe) {
                         prepared(probe,
                                  [&](const Fd&) { probe.open("mine", O_WRONLY | O_TRUNC); });
                       },
                       uid});
      cases.push_back({"fallocate " + text,
                       [=](Probe& probe) {
                         prepared(probe, [&](const Fd& fd) {
                           probe.note("fallocate", fallocate(fd.get(), 0, 0, 8192));
                         });
                       },
                       uid});
    }
  }
  compare(cases, GetParam());
}

/// Notes the times of `name` where they are not the present.
void note_times(Probe& probe, const std::string& name) {
  struct stat status {};
  if (probe.note("stat", fstatat(probe.dir(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW)) != 0) {
    return;
  }
  const auto shown = [](const timespec& time) {
    return time.tv_sec > 1'700'000'000
               ? std::string("now")
               : std::to_string(time.tv_sec) + "." + std::to_string(time.tv_nsec);
  };
  probe.note_text("atime", shown(status.st_atim));
  probe.note_text("mtime", shown(status.st_mtim));
}

TEST_P(AttributeParity, Times) {
  std::vector<ParityCase> cases;
  const std::vector<timespec> values = {{1'000'000'000, 123'456'789},
                                        {0, 0},
                                        {-5, 1},
                                        {0, UTIME_OMIT},
                                        {0, UTIME_NOW},
                                        {1, 1'000'000'000}};
  for (const std::string name : {"file", "dir", "link", "fifo", "missing", "dangling"}) {
    for (const timespec& atime : values) {
      for (const timespec& mtime : values) {
        const int flags = cases.size() % 2 == 0 ? 0 : AT_SYMLINK_NOFOLLOW;
        cases.push_back({"utimens " + name + " " + std::to_string(cases.size()), [=](Probe& probe) {
                           const timespec base[2] = {{500, 5}, {600, 6}};
                           utimensat(probe.dir(), name.c_str(), base, AT_SYMLINK_NOFOLLOW);
                           const timespec times[2] = {atime, mtime};
                           probe.note("utimens",
                                      utimensat(probe.dir(), name.c_str(), times, flags));
                           note_times(probe, name);
                         }});
      }
    }
  }
  for (const timespec& time : values) {
    cases.push_back({"another user sets times",
                     [=](Probe& probe) {
                       const timespec times[2] = {time, time};
                       probe.note("other's", utimensat(probe.dir(), "file", times, 0));
                       probe.open("mine", O_CREAT | O_WRONLY);
                       probe.note("own", utimensat(probe.dir(), "mine", times, 0));
                     },
                     12345});
  }
  compare(cases, GetParam());
}

TEST_P(AttributeParity, ExtendedAttributes) {
  std::vector<ParityCase> cases;
  for (const std::string& name : names()) {
    for (const char* attribute :
         {"user.a", "trusted.a", "security.a", "system.a", "nonsense", ""}) {
      cases.push_back({"xattr " + std::string(attribute) + " of " + name, [=](Probe& probe) {
                         const std::string path = path_of(probe.dir(), name);
                         const auto set = [&](const char* value, int flags) {
                           probe.note("set", lsetxattr(path.c_str(), attribute, value,
                                                       std::strlen(value), flags));
                         };
                         char value[64];
                         probe.note("get none", lgetxattr(path.c_str(), attribute, value, 64));
                         set("first", XATTR_REPLACE);
                         set("first", XATTR_CREATE);
                         set("second", XATTR_CREATE);
                         set("the third value", 0);
                         probe.note("length", lgetxattr(path.c_str(), attribute, nullptr, 0));
                         probe.note("too small", lgetxattr(path.c_str(), attribute, value, 3));
                         probe.note("list length", llistxattr(path.c_str(), nullptr, 0));
                         probe.note("list too small", llistxattr(path.c_str(), value, 1));
                         probe.note("remove", lremovexattr(path.c_str(), attribute));
                         probe.note("remove again", lremovexattr(path.c_str(), attribute));
                         set("", 0);
                         probe.note("get empty", lgetxattr(path.c_str(), attribute, value, 64));
                       }});
    }
  }
  compare(cases, GetParam());
}

/// A POSIX ACL as the system.posix_acl_* attributes hold it.
std::string acl(const std::vector<posix_acl_xattr_entry>& entries) {
  posix_acl_xattr_header header{};
  header.a_version = POSIX_ACL_XATTR_VERSION;
  std::string text(reinterpret_cast<const char*>(&header), sizeof header);
  for (const posix_acl_xattr_entry& entry : entries) {
    text.append(reinterpret_cast<const char*>(&entry), sizeof entry);
  }
  return text;
}

posix_acl_xattr_entry entry(std::uint16_t tag, std::uint16_t permissions,
                            std::uint32_t id = static_cast<std::uint32_t>(ACL_UNDEFINED_ID)) {
  return {tag, permissions, id};
}

constexpr const char* kAccess = "system.posix_acl_access";
constexpr const char* kDefault = "system.posix_acl_default";

void set_acl(Probe& probe, const std::string& name, const char* kind, const std::string& value) {
  probe.note(kind,
             setxattr(path_of(probe.dir(), name).c_str(), kind, value.data(), value.size(), 0));
}

TEST_P(AttributeParity, AccessControlLists) {
  std::vector<ParityCase> cases;
  const std::string minimal =
      acl({entry(ACL_USER_OBJ, 6), entry(ACL_GROUP_OBJ, 4), entry(ACL_OTHER, 0)});
  const std::string named =
      acl({entry(ACL_USER_OBJ, 7), entry(ACL_USER, 7, 12345), entry(ACL_GROUP_OBJ, 5),
           entry(ACL_GROUP, 6, 777), entry(ACL_MASK, 6), entry(ACL_OTHER, 1)});
  const std::string broken = acl({entry(ACL_USER_OBJ, 7), entry(ACL_USER, 7, 12345)});
  for (const std::string& value : {minimal, named, broken, std::string(), std::string("junk")}) {
    for (const char* name : {"file", "dir", "fifo", "missing"}) {
      for (const char* kind : {kAccess, kDefault}) {
        cases.push_back({"set " + std::string(kind) + " of " + name, [=](Probe& probe) {
                           set_acl(probe, name, kind, value);
                           probe.status(name);
                           probe.note("chmod", fchmodat(probe.dir(), name, 0640, 0));
                           probe.status(name);
                           probe.note("remove",
                                      removexattr(path_of(probe.dir(), name).c_str(), kind));
                         }});
      }
    }
  }
  for (const mode_t mask : {0u, 022u, 077u}) {
    for (const std::string& value : {minimal, named}) {
      cases.push_back(
          {"inherit a default ACL under umask " + std::to_string(mask), [=](Probe& probe) {
             set_acl(probe, "dir", kDefault, value);
             const mode_t before = umask(mask);
             probe.open("dir/file", O_CREAT | O_WRONLY, 0666);
             probe.open("file-without", O_CREAT | O_WRONLY, 0666);
             probe.note("mkdir", mkdirat(probe.dir(), "dir/sub", 0777));
             probe.note("mknod", mknodat(probe.dir(), "dir/fifo", S_IFIFO | 0666, 0));
             probe.note("symlink", symlinkat("x", probe.dir(), "dir/link"));
             umask(before);
           }});
    }
  }
  cases.push_back({"a named user gets in",
                   [=](Probe& probe) {
                     probe.open("file", O_RDWR);
                     probe.open("other", O_RDWR);
                     probe.note("access", faccessat(probe.dir(), "file", R_OK | W_OK, 0));
                   },
                   12345});
  compare(cases, GetParam());
}

TEST_P(AttributeParity, NamedUserOfAnAclGetsIn) {
  const Backing disk(LoopDisk::Shape{});
  const Mount mount(disk.path(), GetParam().with("allow_other"));
  write_file(disk / "file", pattern(4096, 1));
  ASSERT_EQ(chmod((disk / "file").c_str(), 0600), 0);
  const auto open_as = [&](uid_t uid) {
    return as_user(uid, uid, {}, [&] { return open_file(mount / "file", O_RDWR) ? 0 : 1; });
  };
  EXPECT_EQ(open_as(12345), EACCES);
  const std::string value = acl({entry(ACL_USER_OBJ, 6), entry(ACL_USER, 6, 12345),
                                 entry(ACL_GROUP_OBJ, 0), entry(ACL_MASK, 6), entry(ACL_OTHER, 0)});
  ASSERT_EQ(setxattr((mount / "file").c_str(), kAccess, value.data(), value.size(), 0), 0);
  EXPECT_EQ(open_as(12345), 0);
  EXPECT_EQ(open_as(12346), EACCES);
}

TEST_P(AttributeParity, FilesystemFigures) {
  compare({{"statvfs",
            [](Probe& probe) {
              struct statvfs figures {};
              probe.note("fstatvfs", fstatvfs(probe.dir(), &figures));
              probe.note("block", static_cast<long>(figures.f_bsize));
              probe.note("fragment", static_cast<long>(figures.f_frsize));
              probe.note("blocks", static_cast<long>(figures.f_blocks));
              probe.note("files", static_cast<long>(figures.f_files));
              probe.note("longest name", static_cast<long>(figures.f_namemax));
            }}},
          GetParam());
}

}  // namespace
}  // namespace alignfs::test
