#include "backends/graph.hpp"

#include "errors.hpp"
#include "validation.hpp"

#include <algorithm>
#include <cmath>

namespace sdrt {
namespace {

std::string text_of(const Shape& shape) {
    std::vector<std::string> sizes;
    for (const std::int64_t size : shape) {
        sizes.push_back(std::to_string(size));
    }
    return "(" + joined(sizes) + ")";
}

// Whether the graph takes this shape. Dimensions of one name have
// one size, which `sizes` remembers.
bool fits(const TensorSpec& spec, const Shape& shape, std::map<std::string, std::int64_t>& sizes) {
    if (spec.shape.size() != shape.size()) {
        return false;
    }
    for (std::size_t i = 0; i < shape.size(); ++i) {
        const auto* name = std::get_if<std::string>(&spec.shape[i]);
        const std::int64_t expected = name ? sizes.emplace(*name, shape[i]).first->second
                                           : std::get<std::int64_t>(spec.shape[i]);
        if (expected != shape[i]) {
            return false;
        }
    }
    return true;
}

}  // namespace

void Graph::check(const Feeds& feeds, const std::vector<std::string>& outputs) const {
    const std::string& name = network_.name;
    std::map<std::string, std::int64_t> sizes;
    for (const TensorSpec& spec : network_.spec.inputs) {
        const auto feed = feeds.find(spec.name);
        if (feed == feeds.end()) {
            throw UnsupportedError("the graph " + name + " takes an input " +
                                   sdrt::quoted(spec.name) +
                                   ", which this host does not know; use Python's sdrt");
        }
        const std::string dtype = spec.name == "input_ids" ? "int64" : "float32";
        if (spec.dtype != dtype) {
            throw ArtifactError(name + ": " + spec.name + " is " + spec.dtype +
                                " in the manifest, expected " + dtype + "; export the model again");
        }
        if (!fits(spec, feed->second.shape, sizes)) {
            throw ArtifactError(name + ": " + spec.name + " would have the shape " +
                                text_of(feed->second.shape) +
                                ", which the manifest does not allow; export the model again");
        }
    }
    if (feeds.size() != network_.spec.inputs.size()) {
        throw ArtifactError(name + " takes " + std::to_string(network_.spec.inputs.size()) +
                            " inputs in the manifest, expected " + std::to_string(feeds.size()) +
                            "; export the model again");
    }
    for (const std::string& output : outputs) {
        if (network_.spec.output(output) == nullptr) {
            throw ArtifactError(name + " has no output " + sdrt::quoted(output) +
                                " in the manifest; export the model again");
        }
    }
}

Outputs Graph::run(const Feeds& feeds, const std::vector<std::string>& outputs,
                   Cancellation& cancellation) {
    check(feeds, outputs);
    cancellation.check();
    Outputs results = execute(feeds, outputs, cancellation);
    for (const auto& [name, output] : results) {
        const auto bad = std::count_if(output.values.begin(), output.values.end(),
                                       [](float value) { return !std::isfinite(value); });
        if (bad == 0) {
            continue;
        }
        throw NonFiniteError(network_.name + " gave NaN or infinity in " + sdrt::quoted(name) +
                             " (" + std::to_string(bad) + " of " + std::to_string(output.size()) +
                             " values), executed in " + executed().precision +
                             "; check the model with: sdrt verify, and try another backend");
    }
    return results;
}

}  // namespace sdrt
