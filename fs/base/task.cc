#include "alignfs/base/task.h"

namespace alignfs {
namespace {

struct Queue {
  bool in_scope = false;
  ReadyQueue::Elsewhere* elsewhere = nullptr;
  std::deque<std::coroutine_handle<>> ready;
};
thread_local Queue queue;

}  // namespace

ReadyQueue::Scope::Scope() : outermost_(!queue.in_scope) { queue.in_scope = true; }

ReadyQueue::Scope::~Scope() {
  if (!outermost_) return;
  while (!queue.ready.empty()) {
    const auto handle = queue.ready.front();
    queue.ready.pop_front();
    handle.resume();
  }
  queue.in_scope = false;
}

ReadyQueue::Diversion::Diversion(Elsewhere& elsewhere)
    : before_(std::exchange(queue.elsewhere, &elsewhere)) {}
ReadyQueue::Diversion::~Diversion() { queue.elsewhere = before_; }

void ReadyQueue::schedule(std::coroutine_handle<> handle) {
  if (queue.elsewhere != nullptr) return queue.elsewhere->resume(handle);
  const Scope scope;
  queue.ready.push_back(handle);
}

}  // namespace alignfs
