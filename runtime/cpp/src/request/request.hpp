// What a caller asks for, checked and completed from the model's defaults.
#pragma once

#include "manifest.hpp"
#include "networks/denoiser.hpp"
#include "sampling/sampler_settings.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sdrt {

// Of a generation; whatever is left out comes from the model. sdrt.h says what each means.
struct Options {
    std::string prompt;
    std::string negative_prompt;
    std::optional<std::int64_t> width;
    std::optional<std::int64_t> height;
    std::optional<std::int64_t> num_inference_steps;
    std::optional<double> guidance_scale;
    double guidance_rescale = 0;
    double guidance_start = 0;
    double guidance_end = 1;
    bool guidance_split = false;
    std::optional<std::string> sampler;
    std::optional<std::string> scheduler;
    std::optional<std::string> spacing;
    std::optional<std::int64_t> seed;  // nothing: draws one
    std::int64_t num_images_per_prompt = 1;
    std::int64_t clip_skip = 1;
};

// A complete and possible wish: what `resolve` makes of options.
struct Request {
    std::string prompt;
    std::string negative_prompt;
    std::int64_t width = 0;
    std::int64_t height = 0;
    std::int64_t num_inference_steps = 0;
    Guidance guidance;
    bool is_guided = false;  // whether the U-Net ever has to run for the negative prompt too
    Recipe recipe;
    std::vector<std::uint64_t> seeds;  // one for each image
    std::int64_t clip_skip = 1;
    std::vector<std::string> warnings;  // of what was asked for and cannot be heeded
    std::optional<Framing> framing;  // what the U-Net is told of the picture, if it takes that
};

// Throws UsageError for what cannot be, UnsupportedError for what this model or this host has not.
Request resolve(const Manifest& manifest, const Options& options);

}  // namespace sdrt
