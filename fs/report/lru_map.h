#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <unordered_map>
#include <utility>

#include "alignfs/report/event_ring.h"

namespace alignfs {

/// A map of at most `capacity` keys, of which the one touched longest ago makes room for a new one.
/// Not thread-safe.
template <typename Key, typename Value, typename Hash = std::hash<Key>>
class LruMap {
 public:
  explicit LruMap(std::size_t capacity) : capacity_(capacity == 0 ? 1 : capacity) {}

  /// The value of `key`, or nullptr. Does not count as a touch.
  const Value* find(const Key& key) const {
    const auto found = index_.find(key);
    return found == index_.end() ? nullptr : &found->second->second;
  }
  Value* find(const Key& key) { return const_cast<Value*>(std::as_const(*this).find(key)); }

  /// The value of `key`, made if need be; the youngest from now on. Valid until the next touch().
  Value& touch(const Key& key) {
    if (const auto found = index_.find(key); found != index_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return found->second->second;
    }
    if (index_.size() >= capacity_) {
      index_.erase(entries_.back().first);
      entries_.pop_back();
    }
    entries_.emplace_front(key, Value{});
    index_.emplace(key, entries_.begin());
    return entries_.front().second;
  }

  void erase(const Key& key) {
    const auto found = index_.find(key);
    if (found == index_.end()) return;
    entries_.erase(found->second);
    index_.erase(found);
  }

  /// Calls `visit(value)` for each, the youngest first.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (const auto& [key, value] : entries_) visit(value);
  }

  std::size_t size() const { return index_.size(); }

 private:
  using Entries = std::list<std::pair<Key, Value>>;
  std::size_t capacity_;
  Entries entries_;
  std::unordered_map<Key, typename Entries::iterator, Hash> index_;
};

inline std::size_t combine_hashes(std::size_t seed, std::size_t next) {
  return (seed ^ next) * 0x9e3779b97f4a7c15U + (seed >> 29U);
}

struct FileIdHash {
  std::size_t operator()(const FileId& file) const {
    return combine_hashes(std::size_t(file.device), std::size_t(file.inode));
  }
};

struct EventKindHash {
  std::size_t operator()(const EventKind& kind) const {
    const std::size_t small = std::size_t(kind.direction) << 16U | std::size_t(kind.action) << 8U |
                              std::size_t(kind.broken);
    return combine_hashes(combine_hashes(FileIdHash{}(kind.file), std::size_t(kind.pid)), small);
  }
};

}  // namespace alignfs
