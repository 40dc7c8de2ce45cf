#include "request/request.hpp"

#include "errors.hpp"
#include "request/ignored_options.hpp"
#include "request/sampler_options.hpp"
#include "sampling/noise.hpp"
#include "sampling/samplers/aliases.hpp"
#include "validation.hpp"

#include <limits>
#include <random>

namespace sdrt {
namespace {

constexpr std::int64_t kMaxImages = 64;
constexpr std::int64_t kMaxClipSkip = 64;  // where the artifact does not say how deep its encoder is

// Less than none was never seen by a U-Net that is told the strength.
Guidance checked_guidance(const Manifest& manifest, const Options& options, bool guides_itself) {
    const double scale = options.guidance_scale.value_or(manifest.defaults.guidance_scale);
    const std::string whose =
        guides_itself ? " of " + sdrt::quoted(manifest.name) + ", whose U-Net is told it," : "";
    Guidance guidance;
    guidance.scale = check_number("guidance scale" + whose, scale,
                                  std::numeric_limits<double>::infinity(), guides_itself ? 1 : 0);
    guidance.rescale = check_number("guidance rescale", options.guidance_rescale, 1);
    guidance.start = check_number("guidance start", options.guidance_start, 1);
    guidance.end = check_number("guidance end", options.guidance_end, 1);
    guidance.is_split = options.guidance_split;
    if (guidance.start > guidance.end) {
        throw UsageError("guidance starts at " + number_text(guidance.start) + " and ends at " +
                         number_text(guidance.end) + "; expected the start before the end");
    }
    if (guides_itself) {
        check_guides_itself(manifest.name, guidance);
    }
    return guidance;
}

std::vector<std::uint64_t> checked_seeds(const Options& options) {
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

std::int64_t checked_clip_skip(const Manifest& manifest, std::int64_t value) {
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

// Whether the U-Net's inputs are those of a model that makes pictures of text alone.
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
    throw UnsupportedError("the U-Net of " + sdrt::quoted(manifest.name) + " takes " +
                           std::to_string(extra) + " channels beside the latents' " +
                           std::to_string(channels) + "; expected none");
}

// Of an uncut picture, for models that are told of it; (height, width).
std::optional<Framing> own_framing(const Manifest& manifest, PixelPair size) {
    const std::int64_t numbers = manifest.time_ids_width();
    if (numbers == 0) {
        return {};
    }
    if (numbers == 5) {
        throw UnsupportedError(sdrt::quoted(manifest.name) +
                               " is a refiner of Stable Diffusion XL, which this host does not "
                               "run; use: sdrt generate --refiner");
    }
    if (numbers != 6) {
        throw UnsupportedError("the U-Net takes " + std::to_string(numbers) +
                               " numbers about the picture; expected 6");
    }
    return Framing{size, {0, 0}, size};
}

// The model's own way to sample, and what was asked for besides.
Recipe checked_recipe(const Manifest& manifest, const Options& options) {
    const Defaults& defaults = manifest.defaults;
    const std::string asked = options.sampler.value_or(defaults.sampler);
    const FoundSampler found = find_sampler(asked);
    const bool is_own = found.sampler == defaults.sampler;
    Recipe recipe;
    recipe.sampler = found.sampler;
    recipe.scheduler = options.scheduler.value_or(
        found.scheduler.value_or(is_own ? defaults.scheduler : "default"));
    check_scheduler(recipe.scheduler);
    if (found.scheduler && *found.scheduler != recipe.scheduler) {
        throw UsageError("sampler " + sdrt::quoted(asked) + " names the scheduler " +
                         sdrt::quoted(*found.scheduler) + ", and scheduler is " +
                         sdrt::quoted(recipe.scheduler) + "; give one of them");
    }
    recipe.spacing = check_known("spacing", options.spacing.value_or(manifest.schedule.spacing),
                                 {"leading", "trailing", "linspace"});
    recipe.offset = manifest.schedule.offset;
    if (is_own) {
        recipe.options = defaults.sampler_options;
    }
    check_sampler_options(recipe.sampler, recipe.options);
    return recipe;
}

}  // namespace

Request resolve(const Manifest& manifest, const Options& options) {
    const Defaults& defaults = manifest.defaults;
    const auto downscale = manifest.latent.downscale;
    Request request;
    const bool guides_itself = guidance_width(find(manifest.graphs, "unet")) > 0;
    request.guidance = checked_guidance(manifest, options, guides_itself);
    request.seeds = checked_seeds(options);
    request.prompt = check_text("prompt", options.prompt);
    request.negative_prompt = check_text("negative_prompt", options.negative_prompt);
    check_conditions(manifest);
    request.width = check_size("width", options.width.value_or(defaults.width), downscale);
    request.height = check_size("height", options.height.value_or(defaults.height), downscale);
    request.framing = own_framing(manifest, {request.height, request.width});
    request.num_inference_steps =
        check_whole("steps", options.num_inference_steps.value_or(defaults.num_inference_steps), 1,
                    manifest.schedule.train_steps);
    const Guidance& guidance = request.guidance;
    request.is_guided =
        guidance.scale > 1 && guidance.start < guidance.end && !guides_itself;
    request.recipe = checked_recipe(manifest, options);
    request.clip_skip = checked_clip_skip(manifest, options.clip_skip);
    request.warnings =
        unheeded(manifest.name, options, guidance, guides_itself, request.recipe);
    return request;
}

}  // namespace sdrt
