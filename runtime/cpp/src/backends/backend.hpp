// The engines that run networks, and the choice among them.
#pragma once

#include "backends/graph.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sdrt {

// Which engine to open, and how; whatever is left out has a default.
struct EngineOptions {
    std::optional<std::string> name;       // default: the fastest engine of this build
    std::optional<std::string> device;     // the engine's name of a device: "CPU", "GPU"
    std::optional<std::string> precision;  // precision to execute; default: the stored one
    std::optional<std::int64_t> threads;
};

// An engine with its settings.
class Backend {
public:
    virtual ~Backend() = default;

    virtual std::string name() const = 0;
    // The graph formats it opens, the best first.
    virtual std::vector<std::string> formats() const = 0;
    virtual int threads() const = 0;
    // The precision that the caller requested.
    virtual std::optional<std::string> precision() const = 0;
    // The same engine set to fp32; nullptr if it executes the network's floats in fp32 already.
    virtual std::shared_ptr<Backend> in_fp32(const Network& network) = 0;
    // Loads a network. Throws ArtifactError if the engine refuses the file.
    virtual std::unique_ptr<Graph> open(Network network) = 0;
};

// Names of the engines in this build, the fastest first.
const std::vector<std::string>& built_backends();

// Throws UsageError for an unknown name, UnsupportedError for what this build or machine lacks.
std::shared_ptr<Backend> open_backend(const EngineOptions& options);

}  // namespace sdrt
