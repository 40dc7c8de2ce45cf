// What pytest talks to (tests/cpp/test_model_parts.py): a JSON list of commands on stdin, a list of
// as many results on stdout. An error of sdrt is a result too.

#include "artifact/artifact.hpp"
#include "artifact/detect.hpp"
#include "errors.hpp"
#include "files/json_file.hpp"
#include "files/manifest_writer.hpp"
#include "files/sha256.hpp"
#include "files/sha256_blocks.hpp"
#include "images/metadata.hpp"
#include "images/png.hpp"
#include "request/resolve.hpp"
#include "sampling/samplers/aliases.hpp"

#include <functional>
#include <iostream>
#include <iterator>
#include <map>

namespace {

using sdrt::Json;

template <class T>
void take(const Json& json, const char* name, T& value) {
    if (json.contains(name)) {
        value = json.at(name).get<T>();
    }
}

template <class T>
void take(const Json& json, const char* name, std::optional<T>& value) {
    if (json.contains(name) && !json.at(name).is_null()) {
        value = json.at(name).get<T>();
    }
}

sdrt::Named<sdrt::Option> options_of(const Json& json) {
    sdrt::Named<sdrt::Option> options;
    for (const auto& [name, value] : json.items()) {
        if (value.is_boolean()) {
            options.emplace_back(name, value.get<bool>());
        } else if (value.is_number_integer()) {
            options.emplace_back(name, value.get<std::int64_t>());
        } else if (value.is_number()) {
            options.emplace_back(name, value.get<double>());
        } else {
            options.emplace_back(name, value.get<std::string>());
        }
    }
    return options;
}

Json json_of(const sdrt::Named<sdrt::Option>& options) {
    Json json = Json::object();
    for (const auto& [name, value] : options) {
        json[name] = std::visit([](const auto& one) { return Json(one); }, value);
    }
    return json;
}

// Opens a folder, and each of its networks in the first of some formats.
Json open(const Json& command) {
    const auto artifact = sdrt::open_artifact(command.at("path").get<std::string>());
    const auto& manifest = artifact.manifest();
    const auto formats = command.at("formats").get<std::vector<std::string>>();
    Json networks = Json::object();
    for (const auto& graph : manifest.graphs) {
        Json files = Json::array();
        const auto network = artifact.network(graph.first, formats);
        for (const auto& file : network.files) {
            files.push_back(file.string());
        }
        networks[graph.first] = {{"files", files}, {"stored", network.stored}};
    }
    return {{"name", manifest.name},
            {"hash", artifact.hash()},
            {"manifest", manifest_json(manifest)},
            {"text_layers", manifest.text_layers()},
            {"conditions", manifest.condition_channels()},
            {"networks", networks}};
}

sdrt::NetworkRecord record_of(const Json& json) {
    sdrt::NetworkRecord record;
    take(json, "stored", record.stored);
    take(json, "executed", record.executed);
    take(json, "isa", record.isa);
    take(json, "isa_from", record.isa_from);
    for (const auto& [precision, share] : json.at("shares").items()) {
        record.shares.emplace_back(precision, share.get<double>());
    }
    if (const Json& retried = json.at("retried"); !retried.is_null()) {
        record.retried = sdrt::Retry{retried.at("failed"), retried.at("at")};
    }
    return record;
}

sdrt::Parameters parameters_of(const Json& json) {
    sdrt::Parameters found;
    take(json, "prompt", found.prompt);
    take(json, "negative_prompt", found.negative_prompt);
    take(json, "seed", found.seed);
    take(json, "width", found.width);
    take(json, "height", found.height);
    take(json, "num_inference_steps", found.num_inference_steps);
    take(json, "clip_skip", found.clip_skip);
    take(json, "sampler", found.sampler);
    take(json, "scheduler", found.scheduler);
    take(json, "spacing", found.spacing);
    take(json, "steps_offset", found.steps_offset);
    found.sampler_options = options_of(json.at("sampler_options"));
    take(json, "guidance_scale", found.guidance_scale);
    take(json, "guidance_rescale", found.guidance_rescale);
    take(json, "guidance_start", found.guidance_start);
    take(json, "guidance_end", found.guidance_end);
    take(json, "model", found.model);
    take(json, "model_hash", found.model_hash);
    take(json, "stored_precision", found.stored_precision);
    take(json, "executed_precision", found.executed_precision);
    for (const auto& [name, record] : json.at("networks").items()) {
        found.networks.emplace_back(name, record_of(record));
    }
    take(json, "backend", found.backend);
    take(json, "threads", found.threads);
    take(json, "version", found.version);
    return found;
}

Json png(const Json& command) {
    const auto decoded = command.at("decoded").get<std::vector<float>>();
    const auto image = sdrt::to_image(decoded.data(), command.at("height"), command.at("width"));
    const std::string path = command.at("path");
    if (command.contains("parameters")) {
        const auto parameters = parameters_of(command.at("parameters"));
        sdrt::save_png(image, path, &parameters);
    } else {
        sdrt::save_png(image, path);
    }
    return image.pixels;
}

Json target(const Json& command) {
    sdrt::check_target(command.at("path").get<std::string>());
    return nullptr;
}

Json request(const Json& command) {
    const Json& given = command.at("options");
    sdrt::Options options;
    take(given, "prompt", options.prompt);
    take(given, "negative_prompt", options.negative_prompt);
    take(given, "width", options.width);
    take(given, "height", options.height);
    take(given, "num_inference_steps", options.num_inference_steps);
    take(given, "guidance_scale", options.guidance_scale);
    take(given, "guidance_rescale", options.guidance_rescale);
    take(given, "guidance_start", options.guidance_start);
    take(given, "guidance_end", options.guidance_end);
    take(given, "guidance_split", options.guidance_split);
    take(given, "sampler", options.sampler);
    take(given, "scheduler", options.scheduler);
    take(given, "spacing", options.spacing);
    take(given, "seed", options.seed);
    take(given, "num_images_per_prompt", options.num_images_per_prompt);
    take(given, "clip_skip", options.clip_skip);
    const auto artifact = sdrt::open_artifact(command.at("path").get<std::string>());
    const auto found = sdrt::resolve(artifact.manifest(), options);
    return {{"prompt", found.prompt},
            {"negative_prompt", found.negative_prompt},
            {"width", found.width},
            {"height", found.height},
            {"steps", found.num_inference_steps},
            {"guidance",
             {found.guidance.scale, found.guidance.rescale, found.guidance.start,
              found.guidance.end, found.guidance.is_split}},
            {"is_guided", found.is_guided},
            {"sampler", found.sampler_settings.sampler},
            {"scheduler", found.sampler_settings.scheduler},
            {"spacing", found.sampler_settings.spacing},
            {"offset", found.sampler_settings.offset},
            {"options", json_of(found.sampler_settings.options)},
            {"seeds", found.seeds},
            {"clip_skip", found.clip_skip},
            {"warnings", found.warnings}};
}

Json sampler(const Json& command) {
    const auto found = sdrt::find_sampler(command.at("name"));
    return {found.sampler, found.scheduler ? Json(*found.scheduler) : Json()};
}

Json describe(const Json& command) {
    return sdrt::describe_path(command.at("path").get<std::string>());
}

Json hash(const Json& command) { return sdrt::sha256(command.at("text").get<std::string>()); }

// The state after whole blocks, with and without the processor's instructions.
Json blocks(const Json& command) {
    const auto bytes = command.at("bytes").get<std::vector<std::uint8_t>>();
    auto fast = command.at("state").get<std::array<std::uint32_t, 8>>();
    auto portable = fast;
    sdrt::compress_blocks(fast, bytes.data(), bytes.size() / 64);
    sdrt::compress_blocks_portably(portable, bytes.data(), bytes.size() / 64);
    return {fast, portable};
}

const std::map<std::string, std::function<Json(const Json&)>>& operations() {
    static const std::map<std::string, std::function<Json(const Json&)>> known{
        {"open", open},       {"png", png},     {"target", target},     {"request", request},
        {"sampler", sampler}, {"sha256", hash}, {"describe", describe}, {"blocks", blocks},
    };
    return known;
}

Json result_of(const Json& command) {
    try {
        return {{"result", operations().at(command.at("op"))(command)}};
    } catch (const sdrt::Error& error) {
        return {{"error", error.type()}, {"code", error.code()}, {"message", error.what()}};
    }
}

}  // namespace

int main() {
    const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
    Json results = Json::array();
    for (const auto& command : Json::parse(text)) {
        results.push_back(result_of(command));
    }
    std::cout << results.dump() << '\n';
    return 0;
}
