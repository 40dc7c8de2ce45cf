// Arrays by name in one file, in the format of safetensors; docs/conformance.md describes it. What a
// file says of itself is checked before it is believed.
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

struct TensorFile {
    std::map<std::string, AnyArray> tensors;
    std::map<std::string, std::string> metadata;
};

// Throws ArtifactError that says what is wrong.
TensorFile read_tensors(const std::filesystem::path& path);

}  // namespace sdrt
