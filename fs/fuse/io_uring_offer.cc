#include "alignfs/fuse/io_uring_offer.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

namespace alignfs::kernel {
namespace {

constexpr const char* kParameter = "/sys/module/fuse/parameters/enable_uring";
constexpr const char *kOn = "Y", *kOff = "N";

constexpr std::array kSound{6, 18, 3};

/// The thread that all other kernel threads come from; they never end.
const std::string kKernelThread = "/proc/2";
constexpr unsigned kIsKernelThread = 0x00200000;  // PF_KTHREAD, include/linux/sched.h

bool is_sound_kernel() {
  utsname name{};
  std::array version{0, 0, 0};
  return ::uname(&name) == 0 &&
         std::sscanf(name.release, "%d.%d.%d", &version[0], &version[1], &version[2]) >= 2 &&
         version >= kSound;
}

/// Within a namespace of processes another one may have that number.
bool sees_kernel_threads() {
  std::ifstream file(kKernelThread + "/stat");
  std::string text;
  std::getline(file, text);
  const auto name_end = text.rfind(')');
  if (name_end == text.npos) return false;
  unsigned flags = 0;
  // State, parent, group, session, terminal and its group come before.
  std::sscanf(text.c_str() + name_end + 1, " %*c %*d %*d %*d %*d %*d %u", &flags);
  return (flags & kIsKernelThread) != 0;
}

bool shares_mounts_with_kernel_threads() {
  struct stat mine {
  }, theirs{};
  return ::stat("/proc/self/ns/mnt", &mine) == 0 &&
         ::stat((kKernelThread + "/ns/mnt").c_str(), &theirs) == 0 &&
         mine.st_dev == theirs.st_dev && mine.st_ino == theirs.st_ino;
}

}  // namespace

Status check_io_uring_offer() {
  const auto parameter = MachineSetting::open(kParameter, O_RDONLY);
  if (!parameter) return Error{EOPNOTSUPP, "the kernel has none; Linux 6.14 and later may"};
  if (parameter->read() == kOn) return {};
  const auto writable = MachineSetting::open(kParameter, O_RDWR);
  if (writable) return {};
  return Error{writable.code(),
               "the parameter enable_uring of the fuse module is off and cannot be set"};
}

const char* objection_to_io_uring() {
  if (!is_sound_kernel()) return "it is chosen from Linux 6.18.3 on";
  if (::geteuid() != 0) return "it is chosen for root alone";
  if (!sees_kernel_threads() || !shares_mounts_with_kernel_threads()) {
    return "it is chosen in the mount namespace of the whole machine alone, and this is another or "
           "cannot be told";
  }
  return nullptr;
}

IoUringOffer::IoUringOffer(bool wanted) {
  if (wanted) status_ = switch_on();
}

Status IoUringOffer::switch_on() {
  auto parameter = MachineSetting::open(kParameter, O_RDWR);
  // Somebody without root has it where it is on already.
  if (!parameter) return check_io_uring_offer();
  const auto turn = parameter->take_turn();
  // If that is another mount's doing, INIT tells.
  if (parameter->read() == kOn) return {};
  if (!turn) {
    return Error{turn.code(), "the parameter enable_uring of the fuse module cannot be locked"};
  }
  if (const auto written = parameter->write(kOn); !written) {
    return Error{written.code(), "the parameter enable_uring of the fuse module cannot be set"};
  }
  parameter_ = *std::move(parameter);
  return {};
}

IoUringOffer::~IoUringOffer() {
  if (!parameter_) return;
  if (const auto written = parameter_->write(kOff); !written) {
    spdlog::warn("the parameter enable_uring of the fuse module stays on: {}",
                 std::strerror(written.code()));
  }
}

}  // namespace alignfs::kernel
