#include "alignfs/io/engine.h"

#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

namespace alignfs {
namespace {

thread_local Engine* current = nullptr;

}  // namespace

Engine& Engine::of_this_thread() {
  static BlockingEngine blocking;
  return current != nullptr ? *current : blocking;
}

Engine::Use::Use(Engine& engine) : before_(current) { current = &engine; }
Engine::Use::~Use() { current = before_; }

bool BlockingEngine::start(BackingCall& call) {
  const iovec part{call.data, call.size};
  const ssize_t moved = call.kind == BackingCall::Kind::read
                            ? ::preadv2(call.fd, &part, 1, off_t(call.offset), call.flags)
                            : ::pwritev2(call.fd, &part, 1, off_t(call.offset), call.flags);
  call.result = moved < 0 ? -errno : moved;
  return true;
}

}  // namespace alignfs
