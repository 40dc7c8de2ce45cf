// What a model folder holds, for people and as a record.
#pragma once

#include "pipeline.hpp"

#include <string>

namespace sdrt {

// JSON: `path`, `hash` and the manifest, as `sdrt info --json` has them.
std::string describe(const Artifact& artifact);

// The same with `backend` and `threads` of an open model.
std::string describe(const Pipeline& pipeline);

// A few lines for people.
std::string summary(const Artifact& artifact);

}  // namespace sdrt
