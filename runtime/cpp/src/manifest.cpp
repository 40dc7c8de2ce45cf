#include "manifest.hpp"

#include "errors.hpp"

#include <algorithm>
#include <limits>

namespace sdrt {
namespace {

const TensorSpec* named_tensor(const std::vector<TensorSpec>& specs, std::string_view name) {
    const auto match = std::find_if(specs.begin(), specs.end(),
                                    [&](const TensorSpec& spec) { return spec.name == name; });
    return match == specs.end() ? nullptr : &*match;
}

const TensorSpec* unet_input(const Manifest& manifest, std::string_view name) {
    const GraphSpec* unet = find(manifest.graphs, "unet");
    return unet != nullptr ? unet->input(name) : nullptr;
}

std::int64_t layers_of(const GraphSpec& graph, const TextEncoderSpec& encoder) {
    const std::int64_t states = graph.hidden_states();
    if (states > 0 && encoder.layer == "penultimate") {
        return states - 2;  // all but the embeddings and the last layer
    }
    const TensorSpec* output = graph.output(kLayerStates);
    if (output != nullptr && output->shape.size() == 4) {
        if (const auto* layers = std::get_if<std::int64_t>(&output->shape[1])) {
            return *layers;
        }
    }
    return 1;
}

}  // namespace

const std::string& Manifest::stored(std::string_view graph) const {
    const GraphSpec* spec = find(graphs, graph);
    return spec != nullptr && spec->precision ? *spec->precision : precision;
}

const TensorSpec* GraphSpec::input(std::string_view name) const {
    return named_tensor(inputs, name);
}

const TensorSpec* GraphSpec::output(std::string_view name) const {
    return named_tensor(outputs, name);
}

std::int64_t GraphSpec::hidden_states() const {
    return std::count_if(outputs.begin(), outputs.end(), [](const TensorSpec& output) {
        return output.name.rfind(kHiddenStates, 0) == 0;
    });
}

std::int64_t Manifest::text_layers() const {
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    for (const TextEncoderSpec& encoder : text_encoders) {
        const GraphSpec* graph = find(graphs, encoder.graph);
        least = std::min(least, graph != nullptr ? layers_of(*graph, encoder) : 1);
    }
    return least;
}

std::int64_t Manifest::condition_channels() const {
    const TensorSpec* sample = unet_input(*this, "sample");
    if (sample != nullptr && sample->shape.size() >= 2) {
        if (const auto* channels = std::get_if<std::int64_t>(&sample->shape[1])) {
            return *channels - latent.channels;
        }
    }
    return 0;
}

bool Manifest::takes_pooled() const { return unet_input(*this, kPooled) != nullptr; }

std::int64_t Manifest::time_ids_width() const {
    const TensorSpec* time_ids = unet_input(*this, kTimeIds);
    if (time_ids != nullptr && !time_ids->shape.empty()) {
        if (const auto* width = std::get_if<std::int64_t>(&time_ids->shape.back())) {
            return *width;
        }
    }
    return 0;
}

std::int64_t Manifest::guidance_width() const {
    const TensorSpec* embedding = unet_input(*this, kGuidanceInput);
    if (embedding == nullptr) {
        return 0;
    }
    const auto* width =
        embedding->shape.size() == 2 ? std::get_if<std::int64_t>(&embedding->shape[1]) : nullptr;
    if (width == nullptr) {
        throw ArtifactError(
            "input timestep_cond of unet has no known width; export the model again");
    }
    return *width;
}

}  // namespace sdrt
