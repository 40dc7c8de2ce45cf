#include "generation/unet_inputs.hpp"

#include "errors.hpp"

#include <utility>

namespace sdrt {

Shape latent_shape(const Manifest& manifest, const Request& request) {
    const Latent& latent = manifest.latent;
    return {latent.channels, request.height / latent.downscale, request.width / latent.downscale};
}

UNet open_unet(OpenModel& model, RunState& state) {
    return [&model, &state](const Tensor& sample, float timestep,
                            const TextConditioning& conditioning, const Tensor* guidance) {
        Feeds feeds = {{"sample", Feed(sample)},
                       {"timestep", Feed(timestep)},
                       {"encoder_hidden_states", Feed(conditioning.states)}};
        if (conditioning.pooled.size() > 0) {
            feeds.emplace(kPooled, Feed(conditioning.pooled));
        }
        if (conditioning.time_ids.size() > 0) {
            feeds.emplace(kTimeIds, Feed(conditioning.time_ids));
        }
        if (guidance != nullptr) {
            feeds.emplace(kGuidanceInput, Feed(*guidance));
        }
        Outputs outputs = model.runner().run("unet", feeds, {"out_sample"}, state);
        Tensor out = std::move(outputs.at("out_sample"));
        if (out.shape != sample.shape) {
            throw ArtifactError(
                "unet gives out_sample in another shape than sample has; export the "
                "model again");
        }
        return out;
    };
}

Denoiser make_denoiser(const OpenModel& model, UNet unet, const Steps& steps,
                       const Request& request, PromptConditioning conditioning) {
    const Manifest& manifest = model.manifest();
    const SamplerSettings& sampler = request.sampler_settings;
    DenoiserSettings settings{manifest.prediction, request.guidance,
                              Clipping::from_options(sampler.options), sampler.timestep_scaling(),
                              manifest.guidance_width()};
    return {std::move(unet), steps, model.noise(), std::move(conditioning), std::move(settings)};
}

}  // namespace sdrt
