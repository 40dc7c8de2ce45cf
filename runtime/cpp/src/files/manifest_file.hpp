// Reads a manifest from its JSON file and checks every field.
#pragma once

#include "manifest.hpp"

#include <filesystem>

namespace sdrt {

// Reads `manifest.json`. Throws ArtifactError that names the first wrong field.
Manifest read_manifest(const std::filesystem::path& path);

}  // namespace sdrt
