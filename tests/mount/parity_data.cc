// Reading, writing, sizes, holes and locks, on the mount and on a plain directory.

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "mount/support/fixture.h"
#include "mount/support/modes.h"
#include "mount/support/parity.h"

namespace alignfs::test {
namespace {

class DataParity : public ModeTest {};

INSTANTIATE_TEST_SUITE_P(Data, DataParity, ::testing::ValuesIn(kEveryMode), mode_name);

TEST_P(DataParity, ReadAndWriteAtOffsets) {
  std::vector<ParityCase> cases;
  for (const off_t offset : {0, 1, 511, 512, 4095, 4096, 4999, 5000, 5001, 8192, 100'000, -1}) {
    for (const std::size_t length : {0u, 1u, 512u, 4096u, 4097u, 8192u, 70'000u}) {
      const std::string where = std::to_string(offset) + " x " + std::to_string(length);
      // What a bare disk leaves behind of a write that it refuses is nobody's model: it may have
      // written the blocks the file had before it found the length wrong.
      const bool whole = offset % 4096 == 0 && length % 4096 == 0;
      if (whole || !strict()) {
        cases.push_back({"pwrite " + where, [=](Probe& probe) {
                           const Fd fd = probe.open_data("file");
                           probe.pwrite(fd, offset, length, 7);
                           probe.status_of(fd);
                         }});
      }
      cases.push_back({"pread " + where, [=](Probe& probe) {
                         probe.pread(probe.open_data("file"), offset, length);
                       }});
    }
  }
  compare(cases, GetParam());
}

TEST_P(DataParity, FilePositionFollowsReadsAndWrites) {
  std::vector<ParityCase> cases;
  for (const int flags : {0, O_APPEND, O_TRUNC}) {
    for (const std::size_t length : {100u, 4096u, 12'288u}) {
      cases.push_back({"flags " + std::to_string(flags) + " length " + std::to_string(length),
                       [=](Probe& probe) {
                         const Fd fd = probe.open_data("file", O_RDWR | flags);
                         AlignedBuffer buffer(length);
                         const auto position = [&] {
                           probe.note("position", lseek(fd.get(), 0, SEEK_CUR));
                         };
                         probe.note("read", read(fd.get(), buffer.data(), length));
                         position();
                         buffer.fill(pattern(length, 3));
                         probe.note("write", write(fd.get(), buffer.data(), length));
                         position();
                         probe.note("end", lseek(fd.get(), 0, SEEK_END));
                         probe.note("back", lseek(fd.get(), -4096, SEEK_CUR));
                         probe.note("before", lseek(fd.get(), -1'000'000, SEEK_CUR));
                         probe.note("pwrite", pwrite(fd.get(), buffer.data(), length, 0));
                         position();
                       }});
    }
  }
  compare(cases, GetParam());
}

TEST_P(DataParity, Truncate) {
  std::vector<ParityCase> cases;
  for (const off_t size : {0, 1, 4095, 4096, 4097, 4999, 5000, 5001, 8192, 1'000'000, -1}) {
    const std::string text = std::to_string(size);
    cases.push_back({"ftruncate " + text, [=](Probe& probe) {
                       const Fd fd = probe.open_data("file");
                       probe.note("ftruncate", ftruncate(fd.get(), size));
                       probe.status_of(fd);
                       probe.pread(fd, 0, 8192);
                       probe.note("back", ftruncate(fd.get(), 9000));
                       probe.pread(fd, 4096, 8192);
                     }});
    cases.push_back({"ftruncate of a read-only descriptor " + text, [=](Probe& probe) {
                       const Fd fd = probe.open("file", O_RDONLY);
                       probe.note("ftruncate", ftruncate(fd.get(), size));
                     }});
  }
  for (const std::string& name : names()) {
    cases.push_back({"truncate " + name, [=](Probe& probe) {
                       const std::string path =
                           "/proc/self/fd/" + std::to_string(probe.dir()) + "/" + name;
                       probe.note("truncate", truncate(path.c_str(), 1234));
                     }});
  }
  compare(cases, GetParam());
}

TEST_P(DataParity, Fallocate) {
  std::vector<ParityCase> cases;
  for (const int mode :
       {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE}) {
    for (const off_t offset : {0, 100, 4096, 4900, 8192}) {
      for (const off_t length : {0, 1, 50, 4096, 10'000}) {
        cases.push_back({"fallocate mode " + std::to_string(mode) + " " + std::to_string(offset) +
                             " x " + std::to_string(length),
                         [=](Probe& probe) {
                           const Fd fd = probe.open_data("file");
                           probe.note("fallocate", fallocate(fd.get(), mode, offset, length));
                           probe.status_of(fd);
                           probe.pread(fd, 0, 16'384);
                         }});
      }
    }
  }
  compare(cases, GetParam());
}

TEST_P(DataParity, HolesAndData) {
  std::vector<ParityCase> cases;
  for (const off_t offset : {0, 4095, 4096, 65'535, 65'536, 69'631, 69'632, 200'000, 262'144, -1}) {
    cases.push_back({"seek from " + std::to_string(offset), [=](Probe& probe) {
                       const Fd fd = probe.open_data("sparse", O_RDWR | O_CREAT);
                       probe.pwrite(fd, 0, 4096, 1);
                       probe.pwrite(fd, 65'536, 4096, 2);
                       probe.note("ftruncate", ftruncate(fd.get(), 262'144));
                       probe.note("fsync", fsync(fd.get()));
                       probe.note("data", lseek(fd.get(), offset, SEEK_DATA));
                       probe.note("hole", lseek(fd.get(), offset, SEEK_HOLE));
                       probe.note("position", lseek(fd.get(), 0, SEEK_CUR));
                     }});
  }
  compare(cases, GetParam());
}

TEST_P(DataParity, CopyFileRange) {
  std::vector<ParityCase> cases;
  for (const off_t from : {0, 100, 4096, 4999, 5000, 9000}) {
    for (const off_t to : {0, 77, 4096, 20'000}) {
      for (const std::size_t length : {0u, 50u, 4096u, 100'000u}) {
        cases.push_back({"copy " + std::to_string(from) + " to " + std::to_string(to) + " x " +
                             std::to_string(length),
                         [=](Probe& probe) {
                           const Fd source = probe.open("file", O_RDONLY);
                           const Fd target = probe.open("other", O_WRONLY);
                           off_t in = from, out = to;
                           probe.note("copy", copy_file_range(source.get(), &in, target.get(), &out,
                                                              length, 0));
                           probe.note("in", in);
                           probe.note("out", out);
                         }});
      }
    }
  }
  cases.push_back({"copy onto itself", [](Probe& probe) {
                     const Fd fd = probe.open("file", O_RDWR);
                     off_t in = 0, out = 100;
                     probe.note("overlapping",
                                copy_file_range(fd.get(), &in, fd.get(), &out, 4000, 0));
                     in = 0, out = 8192;
                     probe.note("apart", copy_file_range(fd.get(), &in, fd.get(), &out, 4096, 0));
                   }});
  compare(cases, GetParam());
}

TEST_P(DataParity, FilesWithoutNames) {
  compare({{"an unlinked file lives on",
            [](Probe& probe) {
              const Fd fd = probe.open_data("file");
              probe.note("unlink", unlinkat(probe.dir(), "file", 0));
              probe.note("unlink hard", unlinkat(probe.dir(), "hard", 0));
              probe.pwrite(fd, 8192, 4096, 5);
              probe.pread(fd, 0, 16'384);
              probe.status_of(fd);
              probe.note("fchmod", fchmod(fd.get(), 0600));
              probe.note("ftruncate", ftruncate(fd.get(), 10));
              probe.status_of(fd);
              probe.open("file", O_RDWR);
            }},
           {"a file overwritten by rename lives on",
            [](Probe& probe) {
              const Fd fd = probe.open_data("other");
              probe.note("rename", renameat(probe.dir(), "file", probe.dir(), "other"));
              probe.status_of(fd);
              probe.pread(fd, 0, 4096);
              probe.status("other");
            }},
           {"O_TMPFILE gets its name later",
            [](Probe& probe) {
              const Fd fd = probe.open_data(".", O_RDWR | O_TMPFILE);
              if (!fd) return;
              probe.pwrite(fd, 0, 8192, 6);
              probe.status_of(fd);
              const std::string self = "/proc/self/fd/" + std::to_string(fd.get());
              probe.note("link",
                         linkat(AT_FDCWD, self.c_str(), probe.dir(), "named", AT_SYMLINK_FOLLOW));
              probe.status("named");
              probe.pread(fd, 0, 8192);
            }},
           {"O_TMPFILE with O_EXCL never gets one",
            [](Probe& probe) {
              const Fd fd = probe.open_data(".", O_RDWR | O_TMPFILE | O_EXCL);
              if (!fd) return;
              const std::string self = "/proc/self/fd/" + std::to_string(fd.get());
              probe.note("link",
                         linkat(AT_FDCWD, self.c_str(), probe.dir(), "named", AT_SYMLINK_FOLLOW));
            }}},
          GetParam());
}

TEST_P(DataParity, Locks) {
  const auto lock = [](short type, off_t start, off_t length) {
    struct flock range {};
    range.l_type = type;
    range.l_whence = SEEK_SET;
    range.l_start = start;
    range.l_len = length;
    return range;
  };
  std::vector<ParityCase> cases;
  for (const int command : {F_SETLK, F_OFD_SETLK}) {
    for (const short first : {F_RDLCK, F_WRLCK}) {
      for (const short second : {F_RDLCK, F_WRLCK}) {
        for (const off_t start : {0, 50, 100}) {
          cases.push_back({"fcntl locks " + std::to_string(cases.size()), [=](Probe& probe) {
                             const Fd one = probe.open("file", O_RDWR);
                             struct flock range = lock(first, 0, 100);
                             probe.note("first", fcntl(one.get(), command, &range));
                             const Fd two = probe.open("file", O_RDWR);
                             range = lock(second, start, 10);
                             probe.note("second", fcntl(two.get(), command, &range));
                             range = lock(F_WRLCK, 0, 0);
                             const int asked = command == F_SETLK ? F_GETLK : F_OFD_GETLK;
                             probe.note("get", fcntl(two.get(), asked, &range));
                             probe.note("type", range.l_type);
                             range = lock(F_UNLCK, 0, 0);
                             probe.note("unlock", fcntl(one.get(), command, &range));
                           }});
        }
      }
    }
  }
  for (const int first : {LOCK_SH, LOCK_EX}) {
    for (const int second : {LOCK_SH, LOCK_EX}) {
      cases.push_back(
          {"flock " + std::to_string(first) + std::to_string(second), [=](Probe& probe) {
             const Fd one = probe.open("file", O_RDONLY);
             const Fd two = probe.open("hard", O_RDONLY);
             probe.note("first", flock(one.get(), first));
             probe.note("second", flock(two.get(), second | LOCK_NB));
             probe.note("unlock", flock(one.get(), LOCK_UN));
             probe.note("again", flock(two.get(), second | LOCK_NB));
           }});
    }
  }
  compare(cases, GetParam());
}

TEST_P(DataParity, MapsOfFiles) {
  std::vector<ParityCase> cases;
  for (const int open_flags : {O_RDONLY, O_RDWR, O_WRONLY}) {
    for (const int protection : {PROT_READ, PROT_READ | PROT_WRITE}) {
      for (const int sharing : {MAP_SHARED, MAP_PRIVATE}) {
        cases.push_back({"map " + std::to_string(cases.size()), [=](Probe& probe) {
                           const Fd fd = probe.open("file", open_flags);
                           void* const map = mmap(nullptr, 5000, protection, sharing, fd.get(), 0);
                           probe.note("mmap", map == MAP_FAILED ? -1 : 0);
                           if (map == MAP_FAILED) return;
                           auto* const bytes = static_cast<unsigned char*>(map);
                           probe.note("first", bytes[0]);
                           probe.note("last", bytes[4999]);
                           probe.note("beyond", bytes[5000]);
                           if ((protection & PROT_WRITE) != 0) std::memset(bytes + 4090, 'm', 100);
                           probe.note("msync", msync(map, 5000, MS_SYNC));
                           munmap(map, 5000);
                         }});
      }
    }
  }
  compare(cases, GetParam());
}

TEST_P(DataParity, SendfileReadsTheFile) {
  if (strict()) return;  // it reads by pipe pages, and the last of them is no whole block
  std::vector<ParityCase> cases;
  for (const off_t offset : {0, 100, 4999, 6000}) {
    cases.push_back({"sendfile from " + std::to_string(offset), [=](Probe& probe) {
                       const Fd source = probe.open("file", O_RDONLY);
                       const Fd target = probe.open("empty", O_WRONLY);
                       off_t from = offset;
                       probe.note("sendfile", sendfile(target.get(), source.get(), &from, 10'000));
                       probe.note("position", from);
                     }});
  }
  compare(cases, GetParam());
}

}  // namespace
}  // namespace alignfs::test
