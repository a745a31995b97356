#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace alignfs::test {

/// What became of a process.
struct Outcome {
  /// Exit status, or 128 + signal as a shell has it.
  int status = 0;
  std::string out;
  std::string err;
};

/// Turns what waitpid() stored into Outcome::status.
int exit_status(int wait_status);

/// Runs a program found on PATH to its end; stdin is /dev/null. A program still running after
/// `limit` is killed and counts as 128 + SIGKILL. Processes it leaves behind do not delay the
/// return.
Outcome run(const std::vector<std::string>& arguments,
            std::chrono::milliseconds limit = std::chrono::minutes(2));

/// run(), throwing std::runtime_error with its stderr unless it exits with 0.
void run_checked(const std::vector<std::string>& arguments);

/// Starts a program in the background: own process group, stdin /dev/null, both outputs to the
/// descriptor `output`. It is killed when the thread that started it ends.
pid_t start(const std::vector<std::string>& arguments, int output);

/// Waits for `pid` at most `limit`; true if it ended, with what waitpid() stored.
bool wait_for_exit(pid_t pid, std::chrono::milliseconds limit, int* wait_status);

/// Runs `body` in a forked child as `uid` and `gid` with the supplementary `groups` alone, and
/// returns what it returns: 0 to 255, by custom 0 or an errno. 255 also stands for a death by
/// signal.
int as_user(uid_t uid, gid_t gid, const std::vector<gid_t>& groups,
            const std::function<int()>& body);

}  // namespace alignfs::test
