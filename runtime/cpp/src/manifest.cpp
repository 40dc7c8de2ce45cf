#include "manifest.hpp"

#include "json.hpp"

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

}  // namespace

const std::string& Manifest::stored(std::string_view graph) const {
    const GraphSpec* spec = find(graphs, graph);
    return spec != nullptr && spec->precision ? *spec->precision : precision;
}

std::int64_t Manifest::text_layers() const {
    const GraphSpec* encoder = find(graphs, text_encoders.at(0).graph);
    for (const auto& output : encoder != nullptr ? encoder->outputs : std::vector<TensorSpec>{}) {
        if (output.name == kLayerStates && output.shape.size() == 4) {
            if (const auto* layers = std::get_if<std::int64_t>(&output.shape[1])) {
                return *layers;
            }
        }
    }
    return 1;
}

std::int64_t Manifest::conditions() const {
    const GraphSpec* unet = find(graphs, "unet");
    for (const auto& input : unet != nullptr ? unet->inputs : std::vector<TensorSpec>{}) {
        if (input.name == "sample" && input.shape.size() >= 2) {
            if (const auto* channels = std::get_if<std::int64_t>(&input.shape[1])) {
                return *channels - latent.channels;
            }
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
    const Json json = {{"schema", kManifestSchema},
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
    return indented(json) + "\n";
}

}  // namespace sdrt
