#include "files/manifest_writer.hpp"

#include "files/json_file.hpp"

namespace sdrt {
namespace {

// Appends the members, because an insertion by name compares with every earlier name.
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

// The key `loras` is left out of a model without LoRAs.
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
            shape.push_back(std::visit([](const auto& size) { return Json(size); }, dimension));
        }
        list.push_back({{"name", spec.name}, {"dtype", spec.dtype}, {"shape", shape}});
    }
    return list;
}

Json quantization(const Quantization& report) {
    return {{"sqnr_db", object(report.sqnr_db)}, {"kept", report.kept},   {"share", report.share},
            {"samples", report.samples},         {"steps", report.steps}, {"seed", report.seed}};
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
    return std::visit([](const auto& content) { return Json(content); }, value);
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

Json options_json(const Named<Option>& options) { return object(options, option); }

std::string manifest_json(const Manifest& manifest) {
    Json encoders = Json::array();
    for (const auto& encoder : manifest.text_encoders) {
        encoders.push_back(text_encoder(encoder));
    }
    const auto file_record = [](const FileRecord& record) {
        return Json({{"size", record.size}, {"sha256", record.sha256}});
    };
    Json json = {{"schema", kManifestSchema},
                 {"name", manifest.name},
                 {"family", manifest.family},
                 {"source", weights_source(manifest.source)},
                 {"precision", manifest.precision},
                 {"prediction", manifest.prediction},
                 {"schedule", training_schedule(manifest.schedule)},
                 {"latent", latent_space(manifest.latent)},
                 {"text_encoders", encoders},
                 {"graphs", object(manifest.graphs, graph)},
                 {"defaults", all_defaults(manifest.defaults)},
                 {"files", object(manifest.files, file_record)},
                 {"made_with", object(manifest.made_with)}};
    if (manifest.zeros_for_empty_prompt) {
        json["zeros_for_empty_prompt"] = true;
    }
    return indented(json) + "\n";
}

}  // namespace sdrt
