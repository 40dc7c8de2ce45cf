#include "request/resolve.hpp"

#include "errors.hpp"
#include "request/guidance_options.hpp"
#include "request/ignored_options.hpp"
#include "request/sampler_options.hpp"
#include "request/speed.hpp"
#include "sampling/noise.hpp"
#include "validation.hpp"

#include <random>
#include <string>
#include <vector>

namespace sdrt {
namespace {

constexpr std::int64_t kMaxImages = 64;
constexpr std::int64_t kMaxClipSkip = 64;  // if the artifact does not say how deep its encoder is

std::vector<std::uint64_t> read_seeds(const Options& options) {
    const auto count =
        check_whole("number of images", options.num_images_per_prompt, 1, kMaxImages);
    std::int64_t first = 0;
    if (options.seed) {
        const auto highest = static_cast<std::int64_t>(kMaxSeed) - count + 1;
        first = check_whole("seed", *options.seed, 0, highest);
    } else {
        first = std::random_device()();
    }
    std::vector<std::uint64_t> seeds;
    for (std::int64_t i = 0; i < count; ++i) {
        seeds.push_back(static_cast<std::uint64_t>(first + i));
    }
    return seeds;
}

std::int64_t read_clip_skip(const Manifest& manifest, std::int64_t value) {
    if (manifest.text_layers() > 1) {
        return check_whole("clip_skip", value, 1, manifest.text_layers());
    }
    if (check_whole("clip_skip", value, 1, kMaxClipSkip) > 1) {
        throw UnsupportedError("clip_skip is " + std::to_string(value) + ", and the model " +
                               sdrt::quoted(manifest.name) +
                               " gives only the last layer of its text encoder; leave clip_skip "
                               "out, or export the model again with this sdrt");
    }
    return 1;
}

// Refuses U-Nets that take an image in addition to the prompt.
void check_conditions(const Manifest& manifest) {
    const auto extra = manifest.condition_channels();
    const auto channels = manifest.latent.channels;
    if (extra == 0) {
        return;
    }
    if (extra == channels + 1) {
        throw UnsupportedError(sdrt::quoted(manifest.name) +
                               " is an inpainting model, which this host does not run; use: sdrt "
                               "generate --image --mask");
    }
    if (extra == channels) {
        throw UnsupportedError(sdrt::quoted(manifest.name) +
                               " edits pictures, which this host does not do; use: sdrt generate "
                               "--image");
    }
    if (extra == 1) {
        throw UnsupportedError(sdrt::quoted(manifest.name) +
                               " paints over a depth map, which this host does not do; use: sdrt "
                               "generate --depth");
    }
    throw UnsupportedError("the U-Net of " + sdrt::quoted(manifest.name) + " takes " +
                           std::to_string(extra) + " channels besides the latents' " +
                           std::to_string(channels) + "; expected none");
}

}  // namespace

Request resolve(const Manifest& manifest, const Options& given) {
    Options options = given;
    const SpeedPreset preset = apply_speed(manifest, options);
    const Defaults& defaults = manifest.defaults;
    const auto downscale = manifest.latent.downscale;
    Request request;
    request.guidance = read_guidance(manifest, options);
    request.seeds = read_seeds(options);
    request.prompt = check_text("prompt", options.prompt);
    request.negative_prompt = check_text("negative_prompt", options.negative_prompt);
    check_conditions(manifest);
    request.width = check_size("width", options.width.value_or(defaults.width), downscale);
    request.height = check_size("height", options.height.value_or(defaults.height), downscale);
    request.size_conditioning = read_size_conditioning(manifest, {request.height, request.width});
    request.num_inference_steps =
        check_whole("steps", options.num_inference_steps.value_or(defaults.num_inference_steps), 1,
                    manifest.schedule.train_steps);
    const Guidance& guidance = request.guidance;
    request.is_guided =
        guidance.scale > 1 && guidance.start < guidance.end && !manifest.is_guidance_distilled();
    request.sampler_settings = read_sampler_options(manifest, options);
    request.clip_skip = read_clip_skip(manifest, options.clip_skip);
    request.speed = preset.name;
    request.warnings =
        ignored_option_warnings(manifest, options, guidance, request.sampler_settings);
    if (!preset.warning.empty()) {
        request.warnings.insert(request.warnings.begin(), preset.warning);
    }
    return request;
}

}  // namespace sdrt
