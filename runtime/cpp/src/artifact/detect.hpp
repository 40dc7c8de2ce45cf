// Detects what a path holds if it is no artifact, for error messages.
#pragma once

#include <filesystem>
#include <string>

namespace sdrt {

// Describes the kind of model at a path, as far as its files show without being loaded.
std::string describe_path(const std::filesystem::path& path);

}  // namespace sdrt
