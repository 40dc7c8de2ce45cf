// Checks files against their recorded size and SHA-256, and remembers the result between runs.
#pragma once

#include "manifest.hpp"

#include <filesystem>

namespace sdrt {

// Throws ArtifactError unless the file has the recorded size and hash. A file that passed before is
// not hashed again while its size, time and inode stay the same, unless `remember` is false. Python
// and this host share that memory.
void check_file(const std::filesystem::path& path, const FileRecord& record, bool remember = true);

}  // namespace sdrt
