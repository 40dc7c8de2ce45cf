// Describes a model folder, as text and as a record.
#pragma once

#include "artifact/artifact.hpp"
#include "networks/open_model.hpp"

#include <string>

namespace sdrt {

// JSON with `path`, `hash` and the manifest, as in `sdrt info --json`.
std::string info_json(const Artifact& artifact);

// The same with the `backend` and `threads` of an open model.
std::string info_json(const OpenModel& model);

// A few lines of text.
std::string info_text(const Artifact& artifact);

}  // namespace sdrt
