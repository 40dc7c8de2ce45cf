#include "networks/fp32_fallback.hpp"

#include "errors.hpp"

#include <algorithm>
#include <cmath>

namespace sdrt {
namespace {

bool are_finite(const Network& network, const Feeds& feeds) {
    for (const TensorSpec& spec : network.spec.inputs) {
        const auto feed = feeds.find(spec.name);
        if (spec.dtype != "float32" || feed == feeds.end()) {
            continue;
        }
        const auto* values = static_cast<const float*>(feed->second.values);
        if (!std::all_of(values, values + count(feed->second.shape),
                         [](float value) { return std::isfinite(value); })) {
            return false;
        }
    }
    return true;
}

Shapes shapes_of(const Feeds& feeds) {
    Shapes shapes;
    for (const auto& [name, feed] : feeds) {
        shapes.emplace(name, feed.shape);
    }
    return shapes;
}

}  // namespace

Outputs NetworkRunner::run(const std::string& network, const Feeds& feeds,
                           const std::vector<std::string>& outputs, RunState& state) {
    const Shapes shapes = shapes_of(feeds);
    try {
        return networks_.graph(network, shapes, state).run(feeds, outputs, state.cancellation);
    } catch (const NonFiniteError& error) {
        const Graph& graph = networks_.loaded_graph(network);
        const auto fp32_backend = networks_.fp32_backend(network);
        if (!fp32_backend || !are_finite(graph.network(), feeds)) {
            throw;
        }
        if (!retry_in_fp32_) {
            throw NonFiniteError(std::string(error.what()) +
                                 ", or --precision fp32, or --retry-precision");
        }
        // A network that failed once would fail again, so it stays in fp32 until the run ends.
        state.fall_back(network, fp32_backend, graph.executed().precision);
    }
    networks_.release(network);
    try {
        return networks_.graph(network, shapes, state).run(feeds, outputs, state.cancellation);
    } catch (const NonFiniteError& error) {
        throw NonFiniteError(std::string(error.what()) + "; it gave them in " +
                             state.retries.at(network).failed + " before");
    }
}

}  // namespace sdrt
