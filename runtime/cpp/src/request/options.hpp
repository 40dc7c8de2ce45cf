// The options of a generation, as a caller gives them.
#pragma once

#include "manifest.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace sdrt {

// Options that are left out come from the model. sdrt.h explains each option.
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
    Named<Option> sampler_options;     // of a preset; they replace the model's own
    std::optional<std::string> speed;  // "exact", "balanced" or "fast"
    std::optional<std::int64_t> seed;  // drawn at random if it is left out
    std::int64_t num_images_per_prompt = 1;
    std::int64_t clip_skip = 1;
};

}  // namespace sdrt
