// Says what a path is when it is not what was expected: half of a good error message.
#pragma once

#include <filesystem>
#include <string>

namespace sdrt {

// The kind of model at a path, as far as its files tell without being loaded.
std::string describe(const std::filesystem::path& path);

}  // namespace sdrt
