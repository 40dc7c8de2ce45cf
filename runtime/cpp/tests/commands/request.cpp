#include "artifact/artifact.hpp"
#include "commands.hpp"
#include "request/resolve.hpp"

namespace sdrt::test {
namespace {

Json resolve_request(const Json& command) {
    const Json& json = command.at("options");
    Options options;
    read(json, "prompt", options.prompt);
    read(json, "negative_prompt", options.negative_prompt);
    read(json, "width", options.width);
    read(json, "height", options.height);
    read(json, "num_inference_steps", options.num_inference_steps);
    read(json, "guidance_scale", options.guidance_scale);
    read(json, "guidance_rescale", options.guidance_rescale);
    read(json, "guidance_start", options.guidance_start);
    read(json, "guidance_end", options.guidance_end);
    read(json, "guidance_split", options.guidance_split);
    read(json, "sampler", options.sampler);
    read(json, "scheduler", options.scheduler);
    read(json, "spacing", options.spacing);
    read(json, "speed", options.speed);
    read(json, "seed", options.seed);
    read(json, "num_images_per_prompt", options.num_images_per_prompt);
    read(json, "clip_skip", options.clip_skip);
    const Artifact artifact = open_artifact(command.at("path").get<std::string>());
    const Request request = resolve(artifact.manifest(), options);
    const Guidance& guidance = request.guidance;
    const SamplerSettings& sampler = request.sampler_settings;
    return {{"prompt", request.prompt},
            {"negative_prompt", request.negative_prompt},
            {"width", request.width},
            {"height", request.height},
            {"speed", request.speed},
            {"steps", request.num_inference_steps},
            {"guidance",
             {guidance.scale, guidance.rescale, guidance.start, guidance.end, guidance.is_split}},
            {"is_guided", request.is_guided},
            {"sampler", sampler.sampler},
            {"scheduler", sampler.scheduler},
            {"spacing", sampler.spacing},
            {"offset", sampler.offset},
            {"options", options_json(sampler.options)},
            {"seeds", request.seeds},
            {"clip_skip", request.clip_skip},
            {"warnings", request.warnings}};
}

}  // namespace

Commands request_commands() { return {{"request", resolve_request}}; }

}  // namespace sdrt::test
