// Reads safetensors files: arrays by name (docs/embed/conformance.md describes the format). The
// header is checked before anything relies on it.
#pragma once

#include "arrays.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <variant>

namespace sdrt {

using Bytes = Array<std::uint8_t>;
using AnyArray = std::variant<Ids, Tensor, Array<double>, Bytes>;  // I64, F32, F64, U8

struct SafetensorsFile {
    std::map<std::string, AnyArray> tensors;
    std::map<std::string, std::string> metadata;
};

// Reads a whole file. Throws ArtifactError that says what is wrong with it.
SafetensorsFile read_safetensors(const std::filesystem::path& path);

}  // namespace sdrt
