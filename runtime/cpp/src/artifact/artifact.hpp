// Opens and checks an artifact: the folder that export writes.
#pragma once

#include "manifest.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace sdrt {

// A network's files, checked and ready for an engine.
struct Network {
    std::string name;
    GraphSpec spec;
    std::vector<std::filesystem::path> files;  // the one to open, then its weights
    std::string stored;                        // "fp32", "bf16" or "int8"
};

// A model folder with its manifest.
class Artifact {
public:
    Artifact(std::filesystem::path root, Manifest manifest);

    const std::filesystem::path& root() const { return root_; }
    const Manifest& manifest() const { return manifest_; }
    // SHA-256 of the manifest's content, and so of everything that it lists; as in Python.
    std::string hash() const;

    // A graph's files in the first of these formats ("onnx", "openvino") that there is, after a
    // check of each. Throws ArtifactError for an unknown graph, a format that is not there, a corrupt
    // file, and an ONNX graph whose weights are in a file that the manifest does not list for it.
    Network network(const std::string& name, const std::vector<std::string>& formats) const;

    // Compares one file with its record in the manifest and gives its path. What passed before is
    // not hashed again while size, time and inode stay the same, unless `remember` is false.
    std::filesystem::path check(const std::string& file, bool remember = true) const;

private:
    std::filesystem::path root_;
    Manifest manifest_;
};

// Reads and checks the manifest only; graphs are checked when they are opened. Throws ArtifactError
// that says what is there instead of a model.
Artifact open_artifact(const std::filesystem::path& where);

}  // namespace sdrt
