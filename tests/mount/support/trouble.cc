#include "mount/support/trouble.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "mount/support/command.h"
#include "mount/support/mount.h"

namespace alignfs::test {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::string trouble_fs_binary() { return ALIGNFS_TROUBLE_FS; }

TroubleFs::TroubleFs(const std::string& backing, const std::string& options)
    : log_(open_file(files_ / "log", O_RDWR | O_CREAT | O_APPEND)) {
  std::vector<std::string> command = {trouble_fs_binary()};
  if (!options.empty()) command.insert(command.end(), {"-o", options});
  command.insert(command.end(), {backing, path()});
  pid_ = start(command, log_.get());
  try {
    wait_for_mount();
  } catch (...) {
    end();
    throw;
  }
}

void TroubleFs::wait_for_mount() {
  const auto deadline = steady_clock::now() + kPatience;
  while (!is_mounted(path())) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      throw std::runtime_error("the trouble filesystem ended with " +
                               std::to_string(exit_status(status)) + ": " +
                               read_file(files_ / "log"));
    }
    if (steady_clock::now() > deadline) {
      throw std::runtime_error("the trouble filesystem did not mount in time");
    }
    std::this_thread::sleep_for(milliseconds(1));
  }
}

TroubleFs::~TroubleFs() {
  EXPECT_TRUE(unmount(path())) << path() << " stayed busy";
  end();
}

void TroubleFs::end() {
  if (pid_ < 0) return;
  int status = 0;
  if (is_mounted(path()) || !wait_for_exit(pid_, kPatience, &status)) {
    ADD_FAILURE() << "the trouble filesystem did not end";
    kill(pid_, SIGKILL);
    waitpid(pid_, &status, 0);
  }
  unmount(path());
}

}  // namespace alignfs::test
