// Samplers: from pure noise to a picture's latents, in the form x = x0 + sigma * noise.
//
// A sampler asks `denoise(x, sigma)` for the clean latents it should aim at, and shows (x, denoised)
// after each step. None knows a network, a prompt, guidance or a timestep; those that add noise on
// the way are given it by `draw()`. Arithmetic and defaults are those of Python's samplers.
#pragma once

#include "arrays.hpp"
#include "manifest.hpp"
#include "sampling/schedule.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace sdrt {

using Denoise = std::function<Tensor(const Tensor& x, double sigma)>;
using Draw = std::function<Tensor()>;
// Is shown `x` after step `index` (from 0), and the clean latents that the step aimed at. What it
// throws ends the run.
using Watch = std::function<void(std::size_t index, const Tensor& x, const Tensor& denoised)>;

// How a run goes from noise to latents: the method, its options, and the levels it goes through.
struct Recipe {
    std::string sampler;                   // by its own name
    std::string scheduler = "default";     // how levels are spaced, or evenly spaced timesteps,
    std::string spacing = "leading";       // which these two say how to space
    std::int64_t offset = 0;
    Named<Option> options;                 // of the sampler, checked before

    // Whether it goes through timesteps that a model was distilled on.
    bool is_distilled() const;

    // The levels of a run; throws UsageError for a count that cannot be.
    Steps steps(const TrainingNoise& noise, std::int64_t count) const;

    // Goes from `x`, noisy latents of the first level, through all levels; gives what is reached.
    Tensor sample(const Denoise& denoise, Tensor x, const Doubles& sigmas, const Draw& draw,
                  const Watch& watch) const;

    // The factor of timesteps in a consistency model's boundary condition, if it is one.
    std::optional<double> timestep_scaling() const;
};

}  // namespace sdrt
