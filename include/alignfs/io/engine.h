#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace alignfs {

/// One read or write of a backing file, as the system call would be made.
struct BackingCall {
  enum class Kind : std::uint8_t { read, write };

  Kind kind = Kind::read;
  /// RWF_* flags of pwritev2(2).
  int flags = 0;
  int fd = -1;
  /// Must stay until the call has ended; only read from for a write.
  std::byte* data = nullptr;
  std::size_t size = 0;
  std::uint64_t offset = 0;
  /// Bytes moved, or a negative errno: valid when the call has ended.
  ssize_t result = 0;
  /// Called when a call that start() left running has ended, on the thread that started it.
  void (*ended)(BackingCall&) = nullptr;
};

/// How calls to the backing are made. An engine belongs to one thread.
class Engine {
 public:
  virtual ~Engine() = default;

  /// Begins `call`. True if it has ended already; else `call` must stay where it is until `ended`
  /// is called.
  virtual bool start(BackingCall& call) = 0;

  /// The engine of this thread: the one of the innermost Use, else one that makes the system call
  /// and waits.
  static Engine& of_this_thread();

  /// While it lives, this thread's calls go to `engine`.
  class Use {
   public:
    explicit Use(Engine& engine);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    Engine* const before_;
  };
};

/// Makes the system call and waits for it. Thread-safe.
class BlockingEngine : public Engine {
 public:
  bool start(BackingCall& call) override;
};

}  // namespace alignfs
