// Writes a manifest as JSON.
#pragma once

#include "manifest.hpp"

#include <string>

namespace sdrt {

// The text of `manifest.json`, byte for byte what Python writes.
std::string manifest_json(const Manifest& manifest);

}  // namespace sdrt
