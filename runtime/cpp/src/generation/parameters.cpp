#include "generation/parameters.hpp"

namespace sdrt {

Parameters parameters_of(const OpenModel& model, const Request& request, std::uint64_t seed,
                         const RunState& state) {
    const NetworkRecord* unet = find(state.networks, "unet");
    const SamplerSettings& sampler = request.sampler_settings;
    Parameters parameters;
    parameters.prompt = request.prompt;
    parameters.negative_prompt = request.negative_prompt;
    parameters.seed = static_cast<std::int64_t>(seed);
    parameters.width = request.width;
    parameters.height = request.height;
    parameters.num_inference_steps = request.num_inference_steps;
    parameters.clip_skip = request.clip_skip;
    parameters.size_conditioning = request.size_conditioning;
    parameters.sampler = sampler.sampler;
    parameters.scheduler = sampler.scheduler;
    parameters.spacing = sampler.spacing;
    parameters.steps_offset = sampler.offset;
    parameters.sampler_options = sampler.options;
    parameters.guidance_scale = request.guidance.scale;
    parameters.guidance_rescale = request.guidance.rescale;
    parameters.guidance_start = request.guidance.start;
    parameters.guidance_end = request.guidance.end;
    parameters.speed = request.speed;
    parameters.evaluations = state.evaluations;
    parameters.unguided_evaluations = state.unguided_evaluations;
    parameters.model = model.manifest().name;
    parameters.model_hash = model.artifact().hash();
    parameters.stored_precision = unet->stored;
    parameters.executed_precision = unet->executed;
    parameters.networks = state.networks;
    parameters.backend = model.backend().name();
    parameters.threads = model.backend().threads();
    parameters.version = SDRT_VERSION;
    return parameters;
}

}  // namespace sdrt
