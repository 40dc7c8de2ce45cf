// Writes a manifest as JSON.
#pragma once

#include "files/json_file.hpp"
#include "manifest.hpp"

#include <string>

namespace sdrt {

// The text of `manifest.json`, byte for byte what Python writes.
std::string manifest_json(const Manifest& manifest);

// Options of a sampler as an object.
Json options_json(const Named<Option>& options);

}  // namespace sdrt
