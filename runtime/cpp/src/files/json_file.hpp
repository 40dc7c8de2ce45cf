// JSON files that may come from anywhere: bounded in size and depth, and never more than an error.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace sdrt {

// Keeps the order of an object's names.
using Json = nlohmann::ordered_json;

// No file of sdrt nests deeper than a tenth of this.
constexpr int kMaxJsonDepth = 64;

// The whole file; throws ArtifactError if it cannot be read, is no regular file or is larger.
std::string read_text(const std::filesystem::path& path, std::int64_t max_bytes);

// Parses JSON as Python does (of a name that stands twice the last value counts), except that NaN
// and infinity are refused. `what` names the text in the ArtifactError of anything else.
Json parse_json(std::string_view text, const std::string& what, int max_depth = kMaxJsonDepth);

// Both.
Json read_json(const std::filesystem::path& path, std::int64_t max_bytes,
               int max_depth = kMaxJsonDepth);

// Text as Python's pydantic writes it with an indent of 1, byte for byte.
std::string indented(const Json& json);

}  // namespace sdrt
