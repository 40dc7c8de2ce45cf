#include "files/manifest_file.hpp"

#include "errors.hpp"
#include "files/json_fields.hpp"

#include <algorithm>
#include <limits>

namespace sdrt {
namespace {

constexpr std::int64_t kMaxManifestBytes = 4'000'000;  // a manifest has tens of kilobytes
constexpr std::int64_t kMaxTrainSteps = 100'000;
constexpr auto kMost = std::numeric_limits<std::int64_t>::max();

using Names = std::vector<std::string>;

Names precisions() { return {"fp32", "bf16", "int8"}; }

double between(Fields& fields, const std::string& name, double low, double high, double value) {
    const Json* member = fields.find(name);
    if (member == nullptr) {
        return value;
    }
    value = as_number(*member, fields.place(name));
    if (!(value >= low && value <= high)) {
        throw FieldProblem(fields.place(name), "expected a number from " + Json(low).dump() +
                                                   " to " + Json(high).dump());
    }
    return value;
}

// An optional value; null means the same as leaving it out.
const Json* present(Fields& fields, const std::string& name) {
    const Json* member = fields.find(name);
    return member != nullptr && !member->is_null() ? member : nullptr;
}

std::string read_sha256(Fields& fields) {
    const std::string digits = fields.text("sha256");
    const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    if (digits.size() != 64 || !std::all_of(digits.begin(), digits.end(), is_digit)) {
        throw FieldProblem(fields.place("sha256"), "expected 64 hexadecimal digits");
    }
    return digits;
}

Lora read_lora(const Json& json, const std::string& where) {
    Fields fields(json, where);
    Lora lora{fields.text("file"), read_sha256(fields), fields.number("weight")};
    fields.finish();
    return lora;
}

Source read_source(const Json& json, const std::string& where) {
    Fields fields(json, where);
    Source source;
    source.id = fields.text("id");
    if (present(fields, "revision") != nullptr) {
        source.revision = fields.text("revision");
    }
    if (const Json* member = fields.find("loras")) {
        source.loras = as_list(*member, fields.place("loras"), read_lora);
    }
    fields.finish();
    return source;
}

// The variance that a training step adds, above 0 and below 1.
double beta(Fields& fields, const std::string& name, double value) {
    value = between(fields, name, 0, 1, value);
    if (value <= 0 || value >= 1) {
        throw FieldProblem(fields.place(name), "expected a number above 0 and below 1");
    }
    return value;
}

TrainingSchedule read_schedule(const Json& json, const std::string& where) {
    Fields fields(json, where);
    TrainingSchedule schedule;
    fields.whole_or("train_steps", 1, kMaxTrainSteps, schedule.train_steps);
    schedule.beta_start = beta(fields, "beta_start", schedule.beta_start);
    schedule.beta_end = beta(fields, "beta_end", schedule.beta_end);
    fields.choice_or("curve", {"linear", "scaled_linear", "squaredcos_cap_v2"}, schedule.curve);
    if (const Json* member = fields.find("zero_terminal_snr")) {
        schedule.zero_terminal_snr = as_flag(*member, fields.place("zero_terminal_snr"));
    }
    fields.choice_or("spacing", {"leading", "trailing", "linspace"}, schedule.spacing);
    fields.whole_or("offset", 0, kMost, schedule.offset);
    fields.finish();
    return schedule;
}

// Three numbers, for red, green and blue.
std::vector<double> read_colour(const Json& json, const std::string& where) {
    auto values = as_list(json, where, as_number);
    if (values.size() != 3) {
        throw FieldProblem(where, "expected 3 numbers, found " + std::to_string(values.size()));
    }
    return values;
}

Latent read_latent(const Json& json, const std::string& where) {
    Fields fields(json, where);
    Latent latent;
    latent.channels = fields.whole("channels", 1);
    latent.downscale = fields.whole("downscale", 1);
    latent.scale = fields.number("scale");
    if (const Json* member = present(fields, "preview")) {
        Fields parts(*member, fields.place("preview"));
        Preview preview;
        preview.matrix = as_list(parts.get("matrix"), parts.place("matrix"), read_colour);
        preview.bias = read_colour(parts.get("bias"), parts.place("bias"));
        parts.finish();
        if (preview.matrix.size() != static_cast<std::uint64_t>(latent.channels)) {
            throw FieldProblem(where, "preview has " + std::to_string(preview.matrix.size()) +
                                          " rows, expected " + std::to_string(latent.channels));
        }
        latent.preview = std::move(preview);
    }
    fields.finish();
    return latent;
}

TextEncoderSpec read_text_encoder(const Json& json, const std::string& where) {
    Fields fields(json, where);
    TextEncoderSpec encoder;
    encoder.graph = fields.text("graph");
    encoder.tokenizer = fields.text("tokenizer");
    fields.whole_or("length", 1, kMost, encoder.length);
    fields.choice_or("layer", {"last", "penultimate"}, encoder.layer);
    fields.finish();
    return encoder;
}

Dimension read_dimension(const Json& json, const std::string& where) {
    if (json.is_string()) {
        return as_string(json, where);
    }
    return as_whole(json, where, 1);
}

TensorSpec read_tensor(const Json& json, const std::string& where) {
    Fields fields(json, where);
    TensorSpec tensor;
    tensor.name = fields.text("name");
    tensor.dtype = fields.choice("dtype", {"float32", "int64", "int32", "bool"});
    tensor.shape = as_list(fields.get("shape"), fields.place("shape"), read_dimension);
    fields.finish();
    return tensor;
}

Quantization read_quantization(const Json& json, const std::string& where) {
    Fields fields(json, where);
    Quantization report;
    constexpr auto kLeast = std::numeric_limits<std::int64_t>::min();
    report.sqnr_db = as_named(fields.get("sqnr_db"), fields.place("sqnr_db"), as_number);
    report.kept = as_list(fields.get("kept"), fields.place("kept"), as_string);
    fields.get("share");
    report.share = between(fields, "share", 0, 1, 0);
    report.samples = fields.whole("samples", kLeast);
    report.steps = fields.whole("steps", kLeast);
    report.seed = fields.whole("seed", kLeast);
    fields.finish();
    return report;
}

GraphSpec read_graph(const Json& json, const std::string& where) {
    Fields fields(json, where);
    GraphSpec graph;
    const auto files = fields.place("files");
    graph.files = as_named(fields.get("files"), files, [](const Json& list, const std::string& at) {
        return as_list(list, at, as_string);
    });
    for (const auto& [format, names] : graph.files) {
        if (format != "onnx" && format != "openvino") {
            throw FieldProblem(files + "." + format, "expected 'onnx' or 'openvino'");
        }
    }
    graph.inputs = as_list(fields.get("inputs"), fields.place("inputs"), read_tensor);
    graph.outputs = as_list(fields.get("outputs"), fields.place("outputs"), read_tensor);
    if (present(fields, "precision") != nullptr) {
        graph.precision = fields.choice("precision", precisions());
    }
    if (const Json* member = present(fields, "quantization")) {
        graph.quantization = read_quantization(*member, fields.place("quantization"));
    }
    if (const Json* member = fields.find("parity_db")) {
        graph.parity_db = as_named(*member, fields.place("parity_db"), as_number);
    }
    fields.finish();
    return graph;
}

Defaults read_defaults(const Json& json, const std::string& where) {
    Fields fields(json, where);
    Defaults defaults;
    fields.whole_or("width", 1, kMost, defaults.width);
    fields.whole_or("height", 1, kMost, defaults.height);
    fields.whole_or("num_inference_steps", 1, kMost, defaults.num_inference_steps);
    fields.text_or("sampler", defaults.sampler);
    fields.text_or("scheduler", defaults.scheduler);
    if (const Json* member = fields.find("sampler_options")) {
        defaults.sampler_options = as_named(*member, fields.place("sampler_options"), as_option);
    }
    defaults.guidance_scale =
        between(fields, "guidance_scale", 0, std::numeric_limits<double>::max(), 7.5);
    fields.finish();
    return defaults;
}

FileRecord read_record(const Json& json, const std::string& where) {
    Fields fields(json, where);
    FileRecord record{fields.whole("size", 0), read_sha256(fields)};
    fields.finish();
    return record;
}

Manifest read(const Json& json) {
    Fields fields(json, "");
    Manifest manifest;
    fields.get("schema");
    manifest.name = fields.text("name");
    manifest.family = fields.choice("family", {"sd1", "sd2", "sdxl"});
    manifest.source = read_source(fields.get("source"), "source");
    manifest.precision = fields.choice("precision", precisions());
    manifest.prediction = fields.choice("prediction", {"epsilon", "v_prediction", "sample"});
    manifest.schedule = read_schedule(fields.get("schedule"), "schedule");
    manifest.latent = read_latent(fields.get("latent"), "latent");
    manifest.text_encoders =
        as_list(fields.get("text_encoders"), "text_encoders", read_text_encoder);
    if (manifest.text_encoders.empty()) {
        throw FieldProblem("text_encoders", "expected one or more");
    }
    manifest.graphs = as_named(fields.get("graphs"), "graphs", read_graph);
    if (const Json* member = fields.find("defaults")) {
        manifest.defaults = read_defaults(*member, "defaults");
    }
    if (const Json* member = fields.find("files")) {
        manifest.files = as_named(*member, "files", read_record);
    }
    if (const Json* member = fields.find("made_with")) {
        manifest.made_with = as_named(*member, "made_with", as_string);
    }
    if (const Json* member = fields.find("zeros_for_empty_prompt")) {
        manifest.zeros_for_empty_prompt = as_flag(*member, "zeros_for_empty_prompt");
    }
    fields.finish();
    return manifest;
}

}  // namespace

Manifest read_manifest(const std::filesystem::path& path) {
    const Json json = read_json(path, kMaxManifestBytes);
    if (!json.is_object() || !json.contains("schema")) {
        throw ArtifactError(path.string() + " is not a manifest of sdrt: it has no field 'schema'");
    }
    if (json["schema"] != kManifestSchema || !json["schema"].is_number()) {
        throw ArtifactError(path.string() + " has schema " + json["schema"].dump().substr(0, 80) +
                            ", this sdrt reads schema " + std::to_string(kManifestSchema) +
                            "; install the sdrt release that wrote it, or export the model again");
    }
    try {
        return read(json);
    } catch (const FieldProblem& problem) {
        throw ArtifactError(path.string() + ": " + problem.what() + "; export the model again");
    }
}

}  // namespace sdrt
