#include "manifest.hpp"

#include "files/json_file.hpp"

#include <algorithm>
#include <limits>

namespace sdrt {
namespace {

// Pushed behind each other, because an insertion by name compares with every name before.
template <class T, class Convert>
Json object(const Named<T>& values, const Convert& convert) {
    Json json = Json::object();
    Json::object_t::Container& members = json.get_ref<Json::object_t&>();
    for (const auto& [name, value] : values) {
        members.emplace_back(name, convert(value));
    }
    return json;
}

template <class T>
Json object(const Named<T>& values) {
    return object(values, [](const T& value) { return Json(value); });
}

template <class T>
Json or_null(const std::optional<T>& value) {
    return value ? Json(*value) : Json();
}

// Says nothing about LoRAs where there are none.
Json weights_source(const Source& source) {
    Json json = {{"id", source.id}, {"revision", or_null(source.revision)}};
    for (const auto& lora : source.loras) {
        json["loras"].push_back(
            {{"file", lora.file}, {"sha256", lora.sha256}, {"weight", lora.weight}});
    }
    return json;
}

Json tensors(const std::vector<TensorSpec>& specs) {
    Json list = Json::array();
    for (const auto& spec : specs) {
        Json shape = Json::array();
        for (const auto& dimension : spec.shape) {
            shape.push_back(std::visit([](const auto& one) { return Json(one); }, dimension));
        }
        list.push_back({{"name", spec.name}, {"dtype", spec.dtype}, {"shape", shape}});
    }
    return list;
}

Json quantization(const Quantization& found) {
    return {{"sqnr_db", object(found.sqnr_db)}, {"kept", found.kept},   {"share", found.share},
            {"samples", found.samples},         {"steps", found.steps}, {"seed", found.seed}};
}

Json graph(const GraphSpec& spec) {
    return {{"files", object(spec.files)},
            {"inputs", tensors(spec.inputs)},
            {"outputs", tensors(spec.outputs)},
            {"precision", or_null(spec.precision)},
            {"quantization", spec.quantization ? quantization(*spec.quantization) : Json()},
            {"parity_db", object(spec.parity_db)}};
}

Json training_schedule(const TrainingSchedule& training) {
    return {{"train_steps", training.train_steps},
            {"beta_start", training.beta_start},
            {"beta_end", training.beta_end},
            {"curve", training.curve},
            {"zero_terminal_snr", training.zero_terminal_snr},
            {"spacing", training.spacing},
            {"offset", training.offset}};
}

Json latent_space(const Latent& latent) {
    Json preview;
    if (latent.preview) {
        preview = {{"matrix", latent.preview->matrix}, {"bias", latent.preview->bias}};
    }
    return {{"channels", latent.channels},
            {"downscale", latent.downscale},
            {"scale", latent.scale},
            {"preview", preview}};
}

Json text_encoder(const TextEncoderSpec& spec) {
    return {{"graph", spec.graph},
            {"tokenizer", spec.tokenizer},
            {"length", spec.length},
            {"layer", spec.layer}};
}

Json option(const Option& value) {
    return std::visit([](const auto& one) { return Json(one); }, value);
}

Json all_defaults(const Defaults& defaults) {
    return {{"width", defaults.width},
            {"height", defaults.height},
            {"num_inference_steps", defaults.num_inference_steps},
            {"sampler", defaults.sampler},
            {"scheduler", defaults.scheduler},
            {"sampler_options", object(defaults.sampler_options, option)},
            {"guidance_scale", defaults.guidance_scale}};
}

const TensorSpec* named_tensor(const std::vector<TensorSpec>& specs, std::string_view name) {
    const auto found = std::find_if(specs.begin(), specs.end(),
                                    [&](const TensorSpec& spec) { return spec.name == name; });
    return found == specs.end() ? nullptr : &*found;
}

const TensorSpec* unet_input(const Manifest& manifest, std::string_view name) {
    const GraphSpec* unet = find(manifest.graphs, "unet");
    return unet != nullptr ? unet->input(name) : nullptr;
}

std::int64_t layers_of(const GraphSpec& graph, const TextEncoderSpec& encoder) {
    const std::int64_t states = graph.hidden_states();
    if (states > 0 && encoder.layer == "penultimate") {
        return states - 2;  // without the embeddings and the last
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

std::int64_t Manifest::conditions() const {
    const TensorSpec* sample = unet_input(*this, "sample");
    if (sample != nullptr && sample->shape.size() >= 2) {
        if (const auto* channels = std::get_if<std::int64_t>(&sample->shape[1])) {
            return *channels - latent.channels;
        }
    }
    return 0;
}

bool Manifest::takes_pooled() const {
    return unet_input(*this, kPooled) != nullptr;
}

std::int64_t Manifest::picture_numbers() const {
    const TensorSpec* picture = unet_input(*this, kPicture);
    if (picture != nullptr && !picture->shape.empty()) {
        if (const auto* numbers = std::get_if<std::int64_t>(&picture->shape.back())) {
            return *numbers;
        }
    }
    return 0;
}

std::string Manifest::to_json() const {
    Json encoders = Json::array();
    for (const auto& encoder : text_encoders) {
        encoders.push_back(text_encoder(encoder));
    }
    const auto record = [](const FileRecord& one) {
        return Json({{"size", one.size}, {"sha256", one.sha256}});
    };
    Json json = {{"schema", kManifestSchema},
                 {"name", name},
                 {"family", family},
                 {"source", weights_source(source)},
                 {"precision", precision},
                 {"prediction", prediction},
                 {"schedule", training_schedule(schedule)},
                 {"latent", latent_space(latent)},
                 {"text_encoders", encoders},
                 {"graphs", object(graphs, graph)},
                 {"defaults", all_defaults(defaults)},
                 {"files", object(files, record)},
                 {"made_with", object(made_with)}};
    if (zeros_for_empty_prompt) {
        json["zeros_for_empty_prompt"] = true;
    }
    return indented(json) + "\n";
}

}  // namespace sdrt
