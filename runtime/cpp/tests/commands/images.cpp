#include "commands.hpp"
#include "images/metadata.hpp"
#include "images/png.hpp"

namespace sdrt::test {
namespace {

NetworkRecord read_network_record(const Json& json) {
    NetworkRecord record;
    read(json, "stored", record.stored);
    read(json, "executed", record.executed);
    read(json, "isa", record.isa);
    read(json, "isa_from", record.isa_from);
    for (const auto& [precision, share] : json.at("shares").items()) {
        record.shares.emplace_back(precision, share.get<double>());
    }
    if (const Json& retried = json.at("retried"); !retried.is_null()) {
        record.retried = Retry{retried.at("failed"), retried.at("at")};
    }
    return record;
}

Parameters read_parameters(const Json& json) {
    Parameters parameters;
    read(json, "prompt", parameters.prompt);
    read(json, "negative_prompt", parameters.negative_prompt);
    read(json, "seed", parameters.seed);
    read(json, "width", parameters.width);
    read(json, "height", parameters.height);
    read(json, "num_inference_steps", parameters.num_inference_steps);
    read(json, "clip_skip", parameters.clip_skip);
    read(json, "sampler", parameters.sampler);
    read(json, "scheduler", parameters.scheduler);
    read(json, "spacing", parameters.spacing);
    read(json, "steps_offset", parameters.steps_offset);
    parameters.sampler_options = read_options(json.at("sampler_options"));
    read(json, "guidance_scale", parameters.guidance_scale);
    read(json, "guidance_rescale", parameters.guidance_rescale);
    read(json, "guidance_start", parameters.guidance_start);
    read(json, "guidance_end", parameters.guidance_end);
    read(json, "speed", parameters.speed);
    read(json.at("evaluations"), "whole", parameters.evaluations);
    read(json.at("evaluations"), "unguided", parameters.unguided_evaluations);
    read(json, "model", parameters.model);
    read(json, "model_hash", parameters.model_hash);
    read(json, "stored_precision", parameters.stored_precision);
    read(json, "executed_precision", parameters.executed_precision);
    for (const auto& [name, record] : json.at("networks").items()) {
        parameters.networks.emplace_back(name, read_network_record(record));
    }
    read(json, "backend", parameters.backend);
    read(json, "threads", parameters.threads);
    read(json, "version", parameters.version);
    return parameters;
}

// Writes a PNG, and returns its pixels.
Json write_png(const Json& command) {
    const auto decoded = command.at("decoded").get<std::vector<float>>();
    const Image image = to_image(decoded.data(), command.at("height"), command.at("width"));
    const std::string path = command.at("path");
    if (command.contains("parameters")) {
        const Parameters parameters = read_parameters(command.at("parameters"));
        save_png(image, path, &parameters);
    } else {
        save_png(image, path);
    }
    return image.pixels;
}

Json check_png_target(const Json& command) {
    check_target(command.at("path").get<std::string>());
    return nullptr;
}

}  // namespace

Commands images_commands() { return {{"png", write_png}, {"target", check_png_target}}; }

}  // namespace sdrt::test
