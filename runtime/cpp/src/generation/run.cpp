#include "generation/run.hpp"

#include "generation/parameters.hpp"
#include "generation/prompt_conditioning.hpp"
#include "generation/unet_inputs.hpp"
#include "sampling/noise.hpp"
#include "sampling/schedule.hpp"

#include <string>
#include <utility>

namespace sdrt {

Run::Run(OpenModel& model, const Request& request, Cancellation& cancellation)
    : model_(model),
      request_(request),
      state_(cancellation) {
    state_.warnings = request.warnings;
}

Result Run::result(const Callback& callback) {
    state_.cancellation.check();
    Result result;
    result.images = decode(denoise(callback));
    for (const std::uint64_t seed : request_.seeds) {
        result.parameters.push_back(parameters_of(model_, request_, seed, state_));
    }
    result.timings = state_.timings;
    result.warnings = state_.warnings;
    for (std::string& warning :
         state_.precision_warnings(model_.backend(), model_.manifest().precision)) {
        result.warnings.push_back(std::move(warning));
    }
    return result;
}

// Samples latents of variance one, (images, channels, h/8, w/8).
Tensor Run::denoise(const Callback& callback) {
    const SamplerSettings& sampler = request_.sampler_settings;
    const Steps steps = sampler.steps(model_.noise(), request_.num_inference_steps);
    const Denoiser denoise = make_denoiser(model_, open_unet(model_, state_), steps, request_,
                                           encode_prompts(model_, request_, state_));

    const Shape shape = latent_shape(model_.manifest(), request_);
    Noise noise(request_.seeds);
    Tensor x = noise.draw(shape) * variance_scale(steps.sigmas.front());
    double began = now_s();
    // The first step opens the U-Net, whose loading time is not part of the step.
    double loaded = state_.timings.loading_s();
    const auto on_step = [&](std::size_t index, const Tensor& latents, const Tensor& denoised) {
        const double seconds = now_s() - began - (state_.timings.loading_s() - loaded);
        state_.timings.step_s.push_back(seconds);
        if (callback) {
            callback({index, steps.size(), steps.sigmas[index + 1], latents, denoised, seconds});
        }
        state_.cancellation.check();
        began = now_s();
        loaded = state_.timings.loading_s();
    };
    const auto denoise_in_place = [&](const Tensor& noisy, double sigma) {
        const std::size_t number = state_.timings.step_s.size() + 1;
        ++state_.evaluations;
        if (request_.is_guided && !request_.guidance.covers(steps.progress(sigma))) {
            ++state_.unguided_evaluations;
        }
        return state_.at("step " + std::to_string(number) + " of " + std::to_string(steps.size()),
                         [&] { return denoise(noisy, sigma); });
    };
    x = sampler.sample(
        denoise_in_place, std::move(x), steps.sigmas, [&] { return noise.draw(shape); }, on_step);
    state_.record(model_.networks().loaded_graph("unet"));
    model_.networks().release_after_use("unet");
    return std::move(x) / variance_scale(steps.sigmas.back());
}

std::vector<Image> Run::decode(const Tensor& latents) {
    std::vector<Image> images;
    const std::size_t count = request_.seeds.size();
    const std::size_t size = latents.size() / count;
    Shape shape = latents.shape;
    shape.front() = 1;
    for (std::size_t i = 0; i < count; ++i) {
        const auto begin = latents.values.begin() + static_cast<std::ptrdiff_t>(i * size);
        const Tensor image_latents(shape, {begin, begin + static_cast<std::ptrdiff_t>(size)});
        const auto place = "image " + std::to_string(i + 1) + " of " + std::to_string(count);
        images.push_back(
            state_.at(place, [&] { return model_.autoencoder().decode(image_latents, state_); }));
    }
    model_.networks().release_after_use("vae_decoder");
    return images;
}

}  // namespace sdrt
