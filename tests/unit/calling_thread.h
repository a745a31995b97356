#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "alignfs/base/unique_fd.h"

namespace alignfs {

/// An empty pipe: a read from it waits as long as the test likes.
class Pipe {
 public:
  Pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) std::abort();
    reader_.reset(ends[0]);
    writer_.reset(ends[1]);
  }
  int reader() const { return reader_.get(); }
  void close_writer() { writer_.reset(); }
  ino_t inode() const {
    struct stat facts {};
    fstat(reader_.get(), &facts);
    return facts.st_ino;
  }

 private:
  UniqueFd reader_;
  UniqueFd writer_;
};

/// A thread that makes one call. Joined by end(), which must make the call return.
class CallingThread {
 public:
  CallingThread(const std::function<void()>& call, std::function<void()> end)
      : end_(std::move(end)), thread_([this, call] {
          tid_ = pid_t(syscall(SYS_gettid));
          call();
        }) {
    while (tid_ == 0) std::this_thread::yield();
  }
  ~CallingThread() {
    end_();
    thread_.join();
  }
  pid_t tid() const { return tid_; }

  /// Waits until the kernel shows the thread waiting with `text` at the start of its call line.
  void wait_for(const std::string& text) const {
    const std::string path = "/proc/self/task/" + std::to_string(tid_) + "/syscall";
    for (std::string line; !line.starts_with(text);) {
      std::ifstream file(path);
      std::getline(file, line);
      std::this_thread::yield();
    }
  }

 private:
  std::atomic<pid_t> tid_{0};
  std::function<void()> end_;
  std::thread thread_;
};

}  // namespace alignfs
