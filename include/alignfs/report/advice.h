#pragma once

#include <string>

#include "alignfs/report/event.h"

namespace alignfs {

/// How a program of the event's runtime makes this request legal, or which mount option lets it
/// through as it is: one line, without a prefix for the runtime.
std::string advice_for(const Event& event);

/// What became of the file of an Action::fallback: a sentence fragment.
const char* reason_for(Fallback cause);

/// True if that is found when a file is opened, false if when it is first read.
bool is_found_at_open(Fallback cause);

/// "python", "dd", "C": what the advice line starts with.
const char* name_of(Runtime runtime);

}  // namespace alignfs
