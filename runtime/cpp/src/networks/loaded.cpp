#include "networks/loaded.hpp"

#include <malloc.h>

#include <utility>

namespace sdrt {

LoadedNetworks::LoadedNetworks(const Artifact& artifact, std::shared_ptr<Backend> backend,
                               std::set<std::string> keep)
    : artifact_(artifact),
      backend_(std::move(backend)),
      keep_(std::move(keep)) {}

Graph& LoadedNetworks::graph(const std::string& network, const Shapes& shapes, RunState& state) {
    const double began = now_s();
    const auto fallback = state.fallbacks.find(network);
    const auto& backend = fallback == state.fallbacks.end() ? backend_ : fallback->second;
    const auto loaded = graphs_.find(network);
    if (loaded != graphs_.end() && loaded->second.backend != backend) {
        graphs_.erase(loaded);
    }
    if (graphs_.count(network) == 0) {
        state.cancellation.check();
        Network files = artifact_.network(network, backend->formats());
        graphs_[network] = {backend, backend->open(std::move(files))};
    }
    Graph& graph = *graphs_.at(network).graph;
    graph.prepare(shapes);
    state.timings.add_load(network, now_s() - began);
    return graph;
}

std::shared_ptr<Backend> LoadedNetworks::fp32_backend(const std::string& network) const {
    const LoadedGraph& loaded = graphs_.at(network);
    return loaded.backend->in_fp32(loaded.graph->network());
}

void LoadedNetworks::release_after_use(const std::string& network) {
    if (keep_.count(network) == 0 && graphs_.erase(network) > 0) {
        malloc_trim(0);  // the engine returned the memory to the process, not to the system
    }
}

}  // namespace sdrt
