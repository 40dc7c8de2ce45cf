// The networks that are in memory: loaded at first use and released after use.
#pragma once

#include "artifact/artifact.hpp"
#include "backends/backend.hpp"
#include "networks/run_state.hpp"

#include <map>
#include <memory>
#include <set>
#include <string>

namespace sdrt {

class LoadedNetworks {
public:
    // `artifact` must outlive this. Networks in `keep` stay in memory after use.
    LoadedNetworks(const Artifact& artifact, std::shared_ptr<Backend> backend,
                   std::set<std::string> keep);
    LoadedNetworks(const LoadedNetworks&) = delete;
    LoadedNetworks& operator=(const LoadedNetworks&) = delete;

    const Backend& backend() const { return *backend_; }

    // A network, ready for these input shapes. It is opened if it is not in memory, or is there on
    // another backend than the run falls back to.
    Graph& graph(const std::string& network, const Shapes& shapes, RunState& state);

    // A network that is in memory.
    const Graph& loaded_graph(const std::string& network) const {
        return *graphs_.at(network).graph;
    }
    // The fp32 backend for a network in memory; nullptr if it runs in fp32 already.
    std::shared_ptr<Backend> fp32_backend(const std::string& network) const;

    void release(const std::string& network) { graphs_.erase(network); }
    // Releases the memory of a network that is not to be kept.
    void release_after_use(const std::string& network);

private:
    struct LoadedGraph {
        std::shared_ptr<Backend> backend;
        std::unique_ptr<Graph> graph;
    };

    const Artifact& artifact_;
    std::shared_ptr<Backend> backend_;
    std::set<std::string> keep_;
    std::map<std::string, LoadedGraph> graphs_;
};

}  // namespace sdrt
