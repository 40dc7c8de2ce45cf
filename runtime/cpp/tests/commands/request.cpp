#include "artifact/artifact.hpp"
#include "commands.hpp"
#include "request/resolve.hpp"

namespace sdrt::test {
namespace {

Json resolve_request(const Json& command) {
    const Json& given = command.at("options");
    Options options;
    read(given, "prompt", options.prompt);
    read(given, "negative_prompt", options.negative_prompt);
    read(given, "width", options.width);
    read(given, "height", options.height);
    read(given, "num_inference_steps", options.num_inference_steps);
    read(given, "guidance_scale", options.guidance_scale);
    read(given, "guidance_rescale", options.guidance_rescale);
    read(given, "guidance_start", options.guidance_start);
    read(given, "guidance_end", options.guidance_end);
    read(given, "guidance_split", options.guidance_split);
    read(given, "sampler", options.sampler);
    read(given, "scheduler", options.scheduler);
    read(given, "spacing", options.spacing);
    read(given, "seed", options.seed);
    read(given, "num_images_per_prompt", options.num_images_per_prompt);
    read(given, "clip_skip", options.clip_skip);
    const Artifact artifact = open_artifact(command.at("path").get<std::string>());
    const Request request = resolve(artifact.manifest(), options);
    const Guidance& guidance = request.guidance;
    const SamplerSettings& sampler = request.sampler_settings;
    return {{"prompt", request.prompt},
            {"negative_prompt", request.negative_prompt},
            {"width", request.width},
            {"height", request.height},
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
