#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "alignfs/ctl/lab/below.h"
#include "alignfs/ctl/lab/explain.h"
#include "alignfs/ctl/lab/file.h"
#include "alignfs/ctl/lab/words.h"

namespace alignfs::ctl::lab {

/// One sitting with one file: takes lines, makes the calls that they ask for, tells what came of
/// them. Not thread-safe.
class Session {
 public:
  using Words = std::vector<std::string>;
  using Print = std::function<void(const std::string&)>;

  /// Opens the file with O_DIRECT where it takes that, to write where that is allowed, and tells
  /// how. `print` gets whole lines without their end. CommandError where it cannot be opened.
  Session(std::string path, Print print);

  /// Does what `line` says. CommandError with a sentence if that cannot be understood or done; the
  /// session goes on. That the kernel refuses a request is no error but what was to be learnt.
  void run(const std::string& line);

  /// "quit" was said.
  bool over() const { return over_; }

  /// What may stand where the last of `words` does: for completion.
  static std::vector<std::string> completions(const Words& words);

 private:
  struct Command;
  static const std::vector<Command>& commands();
  static const Command& find(const std::string& name);

  void help(const Words& words);
  void geometry(const Words& words);
  void open(const Words& words);
  void read(const Words& words);
  void write(const Words& words);
  void readv(const Words& words);
  void writev(const Words& words);
  void append(const Words& words);
  void truncate(const Words& words);
  void fsync(const Words& words);
  void map(const Words& words);
  void poke(const Words& words);
  void peek(const Words& words);
  void msync(const Words& words);
  void hexdump(const Words& words);
  void compare(const Words& words);
  void sweep(const Words& words);
  void why(const Words& words);
  void save(const Words& words);
  void replay(const Words& words);
  void quit(const Words& words);

  void open_as(const OpenHow& how);
  void transfer(Request request);
  /// The outcome, why, and what happened below.
  void tell(const Outcome& outcome, Direction direction, const Below& below);
  void measured(const std::function<Outcome()>& call);
  LabMap& mapped();

  const std::string path_;
  const Print print_;
  std::unique_ptr<LabFile> file_;
  std::unique_ptr<LabMap> map_;
  std::unique_ptr<Explainer> explainer_;
  std::unique_ptr<BelowMeter> meter_;
  std::string last_explanation_;
  std::vector<std::string> done_;  ///< lines, for save
  unsigned writes_ = 0;
  unsigned depth_ = 0;  ///< of run within run
  bool over_ = false;
};

}  // namespace alignfs::ctl::lab
