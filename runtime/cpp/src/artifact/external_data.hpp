// Finds the files that hold an ONNX graph's weights, before an engine reads the graph.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace sdrt {

// The external files of a graph's tensors, as the graph names them, and up to which
// byte the tensors reach in each. Throws ArtifactError for a file that is no ONNX
// graph or has a tensor without data.
std::map<std::string, std::uint64_t> external_data(const std::filesystem::path& graph);

}  // namespace sdrt
