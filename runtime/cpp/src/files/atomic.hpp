// Writes files as a whole or not at all.
#pragma once

#include <filesystem>
#include <string>

namespace sdrt {

// Writes a temporary file next to `path` and renames it. Throws WriteError for a full disk or a
// missing permission, and then leaves nothing behind.
void write_atomically(const std::filesystem::path& path, const std::string& bytes);

}  // namespace sdrt
