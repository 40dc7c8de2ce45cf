// Reads and writes JSON. Files may come from anywhere, so their size and depth are bounded.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace sdrt {

// JSON whose objects keep the order of their names.
using Json = nlohmann::ordered_json;

// Files of sdrt nest less than a tenth as deep.
constexpr int kMaxJsonDepth = 64;

// Reads a whole file. Throws ArtifactError if it cannot be read, is no regular file or is larger.
std::string read_text(const std::filesystem::path& path, std::int64_t max_bytes);

// Parses JSON as Python does (the last value of a duplicate name counts), except that NaN and
// infinity are refused. Throws ArtifactError, in which `what` names the text.
Json parse_json(std::string_view text, const std::string& what, int max_depth = kMaxJsonDepth);

// Reads and parses a file.
Json read_json(const std::filesystem::path& path, std::int64_t max_bytes,
               int max_depth = kMaxJsonDepth);

// The text that Python's pydantic writes with an indent of 1, byte for byte.
std::string indented(const Json& json);

}  // namespace sdrt
