// Opens and checks an artifact: the model folder that export writes.
#pragma once

#include "backends/graph.hpp"
#include "manifest.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace sdrt {

// A model folder with its manifest.
class Artifact {
public:
    Artifact(std::filesystem::path root, Manifest manifest);

    const std::filesystem::path& root() const { return root_; }
    const Manifest& manifest() const { return manifest_; }
    // SHA-256 of the manifest's content, and so of every file that it lists; the same as in Python.
    std::string hash() const;

    // The files of a graph in the first of these formats ("onnx", "openvino") that the folder has,
    // each of them checked. Throws ArtifactError for an unknown graph, a missing format, a corrupt
    // file, and an ONNX graph with weights in a file that the manifest does not list for it.
    Network network(const std::string& name, const std::vector<std::string>& formats) const;

    // Compares a file with its record in the manifest and returns its path. A file
    // that passed before is not hashed again while its size, time and inode stay the
    // same, unless `remember` is false.
    std::filesystem::path check(const std::string& file, bool remember = true) const;

private:
    std::filesystem::path root_;
    Manifest manifest_;
};

// Reads and checks only the manifest; graphs are checked when they are opened. Throws
// ArtifactError, which describes what the path holds if it holds no model.
Artifact open_artifact(const std::filesystem::path& path);

}  // namespace sdrt
