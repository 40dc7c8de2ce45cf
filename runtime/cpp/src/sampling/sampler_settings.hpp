// How a run goes from noise to latents: the sampler, its options, and the noise levels.
#pragma once

#include "manifest.hpp"
#include "sampling/samplers/sampler.hpp"
#include "sampling/schedule.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace sdrt {

struct SamplerSettings {
    std::string sampler;  // the sampler's name in sdrt
    std::string scheduler =
        "default";                    // a sigma schedule, or "default" for evenly spaced timesteps
    std::string spacing = "leading";  // how timesteps are spaced by the default scheduler
    std::int64_t offset = 0;          // added to timesteps of "leading" spacing
    Named<Option> options;            // validated options of the sampler

    // Whether the run goes through the timesteps that a model was distilled on.
    bool is_distilled() const;

    // The noise levels of a run. Throws UsageError for an impossible count.
    Steps steps(const TrainingNoise& noise, std::int64_t count) const;

    // Samples from `x`, noisy latents of the first level, through all levels; returns the result.
    Tensor sample(const Denoise& denoise, Tensor x, const Doubles& sigmas, const Draw& draw,
                  const OnStep& on_step) const;

    // The factor of timesteps in a consistency model's boundary
    // condition; nothing for other samplers.
    std::optional<double> timestep_scaling() const;
};

}  // namespace sdrt
