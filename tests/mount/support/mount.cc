#include "mount/support/mount.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace alignfs::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// Children of this process that run alignfs, by /proc: by way of a script or not.
std::vector<pid_t> daemons_of_this_process() {
  std::vector<pid_t> list;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream status(entry.path() / "status");
    pid_t parent = 0;
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("PPid:")) parent = std::stoi(line.substr(5));
    }
    if (parent != getpid()) continue;
    if (std::filesystem::read_symlink(entry.path() / "exe", error).filename() != "alignfs")
      continue;
    list.push_back(std::stoi(name));
  }
  return list;
}

}  // namespace

std::string alignfs_binary() {
  const char* const binary = std::getenv("ALIGNFS_BIN");
  if (binary == nullptr) {
    throw std::runtime_error("set ALIGNFS_BIN to the alignfs program to be tested");
  }
  return binary;
}

bool sanitized() { return std::getenv("ALIGNFS_SANITIZED") != nullptr; }

Mount::Mount(const std::string& source, const std::string& options, Style style)
    : log_(open_file(files_ / "log", O_RDWR | O_CREAT | O_APPEND)) {
  std::vector<std::string> command = {alignfs_binary()};
  if (style == Style::foreground) command.push_back("-f");
  if (!options.empty()) command.insert(command.end(), {"-o", options});
  command.insert(command.end(), {source, path()});
  if (style == Style::foreground) {
    start_foreground(command);
  } else {
    start_daemon(command);
  }
}

void Mount::start_foreground(const std::vector<std::string>& command) {
  pid_ = start(command, log_.get());
  const auto end = steady_clock::now() + kPatience;
  while (!is_mounted(path())) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      throw std::runtime_error("alignfs ended with " + std::to_string(exit_status(status)) +
                               " instead of mounting: " + log());
    }
    if (steady_clock::now() > end) {
      ::kill(pid_, SIGKILL);
      waitpid(pid_, &status, 0);
      throw std::runtime_error("alignfs did not mount in time: " + log());
    }
    std::this_thread::sleep_for(milliseconds(1));
  }
  // Waits in the kernel until the daemon has answered its first request.
  struct stat status {};
  stat(path().c_str(), &status);
}

void Mount::start_daemon(const std::vector<std::string>& command) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  const std::vector<pid_t> before = daemons_of_this_process();
  const pid_t starter = start(command, log_.get());
  int status = 0;
  if (!wait_for_exit(starter, kPatience, &status)) {
    ::kill(starter, SIGKILL);
    waitpid(starter, &status, 0);
    throw std::runtime_error("alignfs did not return in time: " + log());
  }
  if (status != 0) {
    throw std::runtime_error("alignfs exited with " + std::to_string(exit_status(status)) + ": " +
                             log());
  }
  // Reads the table, not the mountpoint: the promise is that the mount is there by now.
  if (!is_mounted(path())) throw std::runtime_error("alignfs returned 0 without a mount: " + log());
  for (const pid_t child : daemons_of_this_process()) {
    if (std::find(before.begin(), before.end(), child) == before.end()) pid_ = child;
  }
  if (pid_ < 0) throw std::runtime_error("alignfs returned 0, but no daemon runs: " + log());
}

Mount::~Mount() {
  if (over_) return;
  EXPECT_EQ(stop(), 0) << "exit status of the daemon; its log:\n" << log();
}

std::string Mount::log() const { return read_file(files_ / "log"); }

int Mount::stop() {
  if (over_) return status_;
  over_ = true;
  EXPECT_TRUE(unmount(path())) << "the mount stayed busy; log:\n" << log();
  int status = 0;
  if (!wait_for_exit(pid_, kPatience, &status)) {
    ADD_FAILURE() << "the daemon did not end after unmount; log:\n" << log();
    ::kill(pid_, SIGKILL);
    waitpid(pid_, &status, 0);
  }
  status_ = exit_status(status);
  judge_log();
  return status_;
}

int Mount::kill(int signal) {
  if (over_) return status_;
  over_ = true;
  ::kill(pid_, signal);
  int status = 0;
  if (!wait_for_exit(pid_, kPatience, &status)) {
    ADD_FAILURE() << "the daemon survived signal " << signal << "; log:\n" << log();
    ::kill(pid_, SIGKILL);
    waitpid(pid_, &status, 0);
  }
  status_ = exit_status(status);
  // A daemon that was killed leaves a dead mount behind; one that was asked to end takes it along.
  if (signal == SIGKILL) umount2(path().c_str(), MNT_DETACH);
  judge_log();
  return status_;
}

void Mount::judge_log() const {
  const std::string text = log();
  for (const char* sign :
       {"Sanitizer", "runtime error:", "terminate called", "Assertion", "[critical]"}) {
    EXPECT_EQ(text.find(sign), std::string::npos) << "the daemon logged:\n" << text;
  }
}

}  // namespace alignfs::test
