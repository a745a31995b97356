#pragma once

#include <cassert>
#include <cerrno>
#include <utility>
#include <variant>

namespace alignfs {

/// Why an operation failed.
struct Error {
  /// An errno value, always positive.
  int code;
  /// What was being done: a string literal, for the log. Never owned.
  const char* context;
};

/// The errno of the call that just failed, with what it was for.
inline Error last_error(const char* context) { return Error{errno, context}; }

/// A value or an Error. Used on every floor instead of exceptions; exceptions never cross floors.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, error) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  /// The value. Requires ok().
  T& operator*() & { return value(); }
  const T& operator*() const& { return const_cast<Result*>(this)->value(); }
  T operator*() && { return std::move(value()); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &const_cast<Result*>(this)->value(); }

  /// The error. Requires !ok().
  Error error() const {
    assert(!ok());
    return *std::get_if<1>(&state_);
  }
  /// 0 when ok, else the errno.
  int code() const { return ok() ? 0 : error().code; }

 private:
  T& value() {
    assert(ok());
    return *std::get_if<0>(&state_);
  }

  std::variant<T, Error> state_;
};

/// Success without a value, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(error) {}

  bool ok() const { return error_.code == 0; }
  explicit operator bool() const { return ok(); }
  Error error() const {
    assert(!ok());
    return error_;
  }
  int code() const { return error_.code; }

 private:
  Error error_{0, ""};
};

using Status = Result<void>;

}  // namespace alignfs
