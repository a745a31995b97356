#include <elf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "../../fs/report/executable.h"
#include "alignfs/base/alignment.h"
#include "alignfs/base/unique_fd.h"
#include "alignfs/report/caller.h"
#include "scratch_folder.h"

namespace alignfs {
namespace {

namespace fs = std::filesystem;

/// A child that runs an executable and waits to be ended.
class Child {
 public:
  Child(const std::string& executable, const std::vector<std::string>& arguments) {
    std::vector<char*> argv(arguments.size() + 1, nullptr);
    std::transform(arguments.begin(), arguments.end(), argv.begin(),
                   [](const auto& argument) { return const_cast<char*>(argument.c_str()); });
    pid_ = fork();
    if (pid_ == 0) {
      execv(executable.c_str(), argv.data());
      _exit(127);
    }
    // exec is over once /proc shows the executable's name.
    const std::string name = fs::path(executable).filename();
    while (name_of_executable() != name) {
      if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
        ADD_FAILURE() << executable << " did not start";
        std::abort();
      }
      std::this_thread::yield();
    }
  }
  ~Child() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  pid_t pid() const { return pid_; }

 private:
  std::string name_of_executable() const {
    std::error_code error;
    return fs::read_symlink("/proc/" + std::to_string(pid_) + "/exe", error).filename();
  }
  pid_t pid_ = 0;
};

std::string own_name() {
  std::ifstream file("/proc/self/comm");
  std::string name;
  std::getline(file, name);
  return name;
}

TEST(RuntimeOfName, KnowsInterpretersByTheirNames) {
  EXPECT_EQ(runtime_of_name("python3.11"), Runtime::python);
  EXPECT_EQ(runtime_of_name("pypy3"), Runtime::python);
  EXPECT_EQ(runtime_of_name("java"), Runtime::java);
  EXPECT_EQ(runtime_of_name("javac"), Runtime::c);
  EXPECT_EQ(runtime_of_name("node"), Runtime::node);
  EXPECT_EQ(runtime_of_name("dd"), Runtime::dd);
  EXPECT_EQ(runtime_of_name("ddrescue"), Runtime::c);
  EXPECT_EQ(runtime_of_name("fio"), Runtime::fio);
  EXPECT_EQ(runtime_of_name("postgres"), Runtime::c);
  EXPECT_EQ(runtime_of_name(""), Runtime::c);
}

TEST(DescribeProcess, TellsOfAThreadItsProcess) {
  std::atomic<pid_t> tid{0};
  std::atomic<bool> done{false};
  std::thread other([&] {
    prctl(PR_SET_NAME, "some-worker");
    tid = gettid();
    while (!done) std::this_thread::yield();
  });
  while (tid == 0) std::this_thread::yield();
  const Process process = describe_process(tid, 1234);
  done = true;
  other.join();
  EXPECT_EQ(process.tid, tid);
  EXPECT_EQ(process.pid, getpid());
  EXPECT_EQ(process.uid, 1234U);
  EXPECT_EQ(process.comm, own_name()) << "the process's name, not the thread's";
  EXPECT_EQ(process.runtime, Runtime::c);
}

TEST(DescribeProcess, NameThatLooksLikeAFieldIsOnlyAName) {
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_NAME, "Tgid:\t1");
    _exit(describe_process(getpid(), 0).pid == getpid() ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(DescribeProcess, NobodyAndTheGoneStayUnknown) {
  const Process nobody = describe_process(0, 5);
  EXPECT_EQ(nobody.pid, 0);
  EXPECT_EQ(nobody.comm, "");
  EXPECT_EQ(nobody.uid, 5U);
  const pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(describe_process(child, 5).pid, 0);
  EXPECT_EQ(describe_process(child, 5).tid, child);
}

TEST(DescribeProcess, RuntimeIsThatOfTheExecutableEvenOnceReplaced) {
  const ScratchFolder folder;
  for (const auto& [name, runtime] : std::vector<std::pair<std::string, Runtime>>{
           {"python3.11", Runtime::python}, {"dd", Runtime::dd}, {"sleeper", Runtime::c}}) {
    fs::copy_file("/bin/sleep", folder / name);
    const Child child(folder / name, {"anything", "1000"});
    EXPECT_EQ(describe_process(child.pid(), 0).comm, name);
    EXPECT_EQ(describe_process(child.pid(), 0).runtime, runtime) << name;
    fs::remove(folder / name);
    EXPECT_EQ(describe_process(child.pid(), 0).runtime, runtime) << name;
  }
}

TEST(DescribeProcess, BusyboxIsWhatItIsCalledAs) {
  const ScratchFolder folder;
  fs::copy_file("/bin/sleep", folder / "busybox");
  const Child child(folder / "busybox", {"busybox", "1000"});
  EXPECT_EQ(runtime_of(child.pid(), "dd"), Runtime::dd);
  EXPECT_EQ(runtime_of(child.pid(), "cp"), Runtime::c);
}

/// A small ELF file with a read-only segment and after it one for each of `data`.
UniqueFd elf_with_segments(const std::vector<std::string>& data, unsigned data_flags) {
  constexpr std::uint64_t kPage = 4096;
  Elf64_Ehdr header{};
  std::copy_n(ELFMAG, SELFMAG, header.e_ident);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_phoff = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = std::uint16_t(1 + data.size());
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  segments[0].p_type = PT_LOAD;
  segments[0].p_flags = PF_R | PF_X;
  segments[0].p_filesz = kPage;
  UniqueFd file(memfd_create("executable", MFD_CLOEXEC));
  const auto put = [&file](const void* bytes, std::size_t size, std::uint64_t offset) {
    EXPECT_EQ(pwrite(file.get(), bytes, size, off_t(offset)), ssize_t(size));
  };
  std::uint64_t offset = kPage;
  for (std::size_t i = 0; i < data.size(); ++i) {
    Elf64_Phdr& segment = segments[i + 1];
    segment.p_type = PT_LOAD;
    segment.p_flags = data_flags;
    segment.p_offset = offset;
    segment.p_filesz = data[i].size();
    put(data[i].data(), data[i].size(), offset);
    offset = align_up(offset + data[i].size(), kPage);
  }
  put(&header, sizeof header, 0);
  put(segments.data(), segments.size() * sizeof(Elf64_Phdr), sizeof header);
  return file;
}

UniqueFd elf_with_data(const std::string& data, unsigned data_flags = PF_R | PF_W) {
  return elf_with_segments({data}, data_flags);
}

/// What the Go linker writes for a 64-bit program: the mark, 8 bytes a pointer, strings in line.
const std::string kBuildInformation = "\xff Go buildinf:\x08\x02";

TEST(IsGoExecutable, FindsBuildInformationInWritableData) {
  const auto is_go = [](const std::string& data) {
    return is_go_executable(elf_with_data(data).get());
  };
  EXPECT_TRUE(is_go(kBuildInformation + std::string(50, 'x')));
  EXPECT_TRUE(is_go(std::string(65536 - 16, 'x') + kBuildInformation)) << "end of a chunk";
  EXPECT_TRUE(is_go(std::string(65536, 'x') + kBuildInformation)) << "start of a chunk";
  EXPECT_TRUE(is_go(std::string(300'000, 'x') + kBuildInformation));
  EXPECT_FALSE(is_go(std::string(1000, 'x')));
  EXPECT_FALSE(is_go(std::string(8U << 20U, 'x') + kBuildInformation))
      << "further than it may read";
}

TEST(IsGoExecutable, ReadsAFewMebibytesInAllSegmentsTogether) {
  const auto is_go_after = [](std::size_t mebibytes) {
    const std::string filler(mebibytes << 20U, 'x');
    return is_go_executable(
        elf_with_segments({filler, filler, kBuildInformation}, PF_R | PF_W).get());
  };
  EXPECT_TRUE(is_go_after(1));
  EXPECT_FALSE(is_go_after(3));
}

TEST(IsGoExecutable, ProgramThatMerelyKnowsTheMarkIsNone) {
  const std::string mark = kBuildInformation.substr(0, 14);
  EXPECT_FALSE(is_go_executable(elf_with_data(mark).get()));
  EXPECT_FALSE(is_go_executable(elf_with_data(mark + std::string(50, '\0')).get()));
  EXPECT_FALSE(is_go_executable(elf_with_data("x" + kBuildInformation).get())) << "not aligned";
  EXPECT_FALSE(is_go_executable(elf_with_data(kBuildInformation, PF_R).get())) << "a constant";
}

TEST(IsGoExecutable, TakesNothingForGranted) {
  const UniqueFd empty(memfd_create("empty", MFD_CLOEXEC));
  EXPECT_FALSE(is_go_executable(empty.get()));
  const UniqueFd script(memfd_create("script", MFD_CLOEXEC));
  const std::string text = "#!/bin/sh\n" + std::string(1000, ' ') + kBuildInformation;
  ASSERT_EQ(write(script.get(), text.data(), text.size()), ssize_t(text.size()));
  EXPECT_FALSE(is_go_executable(script.get()));
  const UniqueFd cut = elf_with_data(kBuildInformation);
  ASSERT_EQ(ftruncate(cut.get(), 100), 0);
  EXPECT_FALSE(is_go_executable(cut.get()));
}

/// Gives the program at `path` one more writable segment, with Go's build information in it, in
/// place of its notes. It runs as before.
void add_build_information(const fs::path& path) {
  const UniqueFd file(open(path.c_str(), O_RDWR | O_CLOEXEC));
  Elf64_Ehdr header{};
  ASSERT_EQ(pread(file.get(), &header, sizeof header, 0), ssize_t(sizeof header));
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  const auto bytes = ssize_t(segments.size() * sizeof(Elf64_Phdr));
  ASSERT_EQ(pread(file.get(), segments.data(), bytes, off_t(header.e_phoff)), bytes);

  constexpr std::uint64_t kSegmentAlignment = 65536;
  const auto end = std::uint64_t(lseek(file.get(), 0, SEEK_END));
  const std::uint64_t offset = align_up(end, kSegmentAlignment);
  std::uint64_t top = 0;
  for (const auto& segment : segments) top = std::max(top, segment.p_vaddr + segment.p_memsz);
  const auto notes = std::find_if(segments.begin(), segments.end(),
                                  [](const auto& segment) { return segment.p_type == PT_NOTE; });
  ASSERT_NE(notes, segments.end());
  notes->p_type = PT_LOAD;
  notes->p_flags = PF_R | PF_W;
  notes->p_offset = offset;
  notes->p_vaddr = notes->p_paddr = align_up(top, kSegmentAlignment);
  notes->p_filesz = notes->p_memsz = kBuildInformation.size();
  notes->p_align = kSegmentAlignment;
  ASSERT_EQ(pwrite(file.get(), segments.data(), bytes, off_t(header.e_phoff)), bytes);
  ASSERT_EQ(pwrite(file.get(), kBuildInformation.data(), kBuildInformation.size(), off_t(offset)),
            ssize_t(kBuildInformation.size()));
}

TEST(DescribeProcess, KnowsGoByTheExecutable) {
  const ScratchFolder folder;
  fs::copy_file("/bin/sleep", folder / "plain");
  const Child plain(folder / "plain", {"plain", "1000"});
  EXPECT_EQ(describe_process(plain.pid(), 0).runtime, Runtime::c);

  fs::copy_file("/bin/sleep", folder / "gopher");
  ASSERT_NO_FATAL_FAILURE(add_build_information(folder / "gopher"));
  const Child gopher(folder / "gopher", {"gopher", "1000"});
  for (int i = 0; i < 2; ++i) {  // the second answer is remembered
    EXPECT_EQ(describe_process(gopher.pid(), 0).runtime, Runtime::go);
  }
}

TEST(ProcessCache, TakesTheUserFromTheRequest) {
  ProcessCache cache;
  EXPECT_EQ(cache.find(getpid(), 1).pid, getpid());
  EXPECT_EQ(cache.find(getpid(), 2).uid, 2U);
  EXPECT_EQ(cache.find(0, 3).pid, 0);
  EXPECT_EQ(cache.find(0, 3).uid, 3U);
}

/// A process that has ended: whoever still knows it has remembered it.
pid_t known_and_gone(ProcessCache& cache) {
  int gate[2];
  if (pipe2(gate, O_CLOEXEC) != 0) std::abort();
  const pid_t child = fork();
  if (child == 0) {
    close(gate[1]);
    char byte = 0;
    (void)!read(gate[0], &byte, 1);
    _exit(0);
  }
  close(gate[0]);
  EXPECT_EQ(cache.find(child, 0).pid, child);
  close(gate[1]);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(describe_process(child, 0).pid, 0);
  return child;
}

TEST(ProcessCache, RemembersForASecond) {
  timespec now{1000, 999'999'999};
  ProcessCache cache(8, [&now] { return now; });
  const pid_t child = known_and_gone(cache);
  now = {1001, 999'999'998};
  EXPECT_EQ(cache.find(child, 0).pid, child);
  EXPECT_EQ(cache.find(child, 0).comm, own_name());
  now = {1001, 999'999'999};
  EXPECT_EQ(cache.find(child, 0).pid, 0);
}

TEST(ProcessCache, ForgetsTheThreadDescribedLongestAgo) {
  ProcessCache cache(2, [] { return timespec{1000, 0}; });
  const pid_t first = known_and_gone(cache);
  const pid_t second = known_and_gone(cache);
  EXPECT_EQ(cache.find(first, 0).pid, first);
  known_and_gone(cache);
  EXPECT_EQ(cache.find(first, 0).pid, 0);
  EXPECT_EQ(cache.find(second, 0).pid, second);
}

}  // namespace
}  // namespace alignfs
