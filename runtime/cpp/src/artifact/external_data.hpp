// Which files an ONNX graph keeps its weights in: read from the graph before an engine sees it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace sdrt {

// Of every file that a graph's tensors are in, by the name that the graph gives it: up to which byte
// they take. Throws ArtifactError for a file that is no ONNX graph, or has a tensor that is nowhere.
std::map<std::string, std::uint64_t> external_data(const std::filesystem::path& graph);

}  // namespace sdrt
