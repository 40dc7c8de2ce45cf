// The interface of an engine that runs networks.
#pragma once

#include "backends/graph.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sdrt {

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

}  // namespace sdrt
