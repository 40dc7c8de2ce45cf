// A request: options that were validated and completed with the model's defaults.
#pragma once

#include "manifest.hpp"
#include "request/size_conditioning.hpp"
#include "sampling/guidance.hpp"
#include "sampling/sampler_settings.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sdrt {

struct Request {
    std::string prompt;
    std::string negative_prompt;
    std::int64_t width = 0;
    std::int64_t height = 0;
    std::int64_t num_inference_steps = 0;
    Guidance guidance;
    bool is_guided = false;  // whether any step runs the U-Net for the negative prompt too
    SamplerSettings sampler_settings;
    std::vector<std::uint64_t> seeds;  // one for each image
    std::int64_t clip_skip = 1;
    std::string speed = "exact";                        // the preset that filled gaps
    std::vector<std::string> warnings;                  // about options without effect
    std::optional<SizeConditioning> size_conditioning;  // of models that take one
};

}  // namespace sdrt
