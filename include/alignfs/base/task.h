#pragma once

#include <coroutine>
#include <deque>
#include <exception>
#include <optional>
#include <utility>

namespace alignfs {

/// A lazy coroutine: runs when awaited, by exactly one awaiter, and gives a T. It may be resumed on
/// another thread than the one it began on, so its body must not rely on thread-local state after a
/// co_await. Exceptions travel to the awaiter.
template <typename T>
class [[nodiscard]] Task {
 public:
  struct promise_type {
    std::optional<T> value;
    std::exception_ptr exception;
    std::coroutine_handle<> awaiter;

    Task get_return_object() {
      return Task(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    auto final_suspend() noexcept {
      struct Return {
        bool await_ready() noexcept { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> self) noexcept {
          return self.promise().awaiter;
        }
        void await_resume() noexcept {}
      };
      return Return{};
    }
    void return_value(T result) { value.emplace(std::move(result)); }
    void unhandled_exception() { exception = std::current_exception(); }
  };

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task(const Task&) = delete;
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  auto operator co_await() && {
    struct Awaiter {
      std::coroutine_handle<promise_type> handle;
      bool await_ready() { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) {
        handle.promise().awaiter = awaiter;
        return handle;
      }
      T await_resume() {
        auto& promise = handle.promise();
        if (promise.exception) std::rethrow_exception(promise.exception);
        return std::move(*promise.value);
      }
    };
    return Awaiter{handle_};
  }

 private:
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

/// A coroutine that starts at once, owns itself and is awaited by nobody: the outermost one. Its
/// body catches everything; what escapes ends the process.
struct Detached {
  struct promise_type {
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

/// Where coroutines that have become ready wait for their turn on this thread. Resuming them from
/// inside the code that made them ready would nest without bound and delay that code's own reply.
class ReadyQueue {
 public:
  /// While a Scope lives, schedule() on this thread only queues; its end resumes what is queued.
  class Scope {
   public:
    Scope();
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    bool outermost_;
  };

  /// Who takes coroutines that became ready on a thread which must not run them itself, because
  /// they may wait.
  class Elsewhere {
   public:
    virtual void resume(std::coroutine_handle<> handle) = 0;

   protected:
    ~Elsewhere() = default;
  };

  /// While it lives, what becomes ready on this thread goes to `elsewhere`.
  class Diversion {
   public:
    explicit Diversion(Elsewhere& elsewhere);
    ~Diversion();
    Diversion(const Diversion&) = delete;
    Diversion& operator=(const Diversion&) = delete;

   private:
    Elsewhere* const before_;
  };

  /// Resumes `handle` on this thread: at the end of the Scope, or before returning where there is
  /// none. Under a Diversion it is resumed by another.
  static void schedule(std::coroutine_handle<> handle);
};

}  // namespace alignfs
