// Noise levels: those of training, and those that a run goes through.
//
// Everything is in the variance-exploding form of Karras et al. 2022 (arXiv 2206.00364): a noisy
// latent is x = x0 + sigma * noise, so sigma alone is its noise level.
#pragma once

#include "arrays.hpp"
#include "manifest.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace sdrt {

// The noise levels of training: `sigmas()[t]` for each timestep t, in ascending order.
class TrainingNoise {
public:
    explicit TrainingNoise(const TrainingSchedule& schedule);

    const Doubles& sigmas() const { return sigmas_; }
    // The number of training timesteps.
    std::int64_t steps() const { return static_cast<std::int64_t>(sigmas_.size()); }
    // The level at any timestep, interpolated linearly.
    double sigma(double timestep) const;
    // The timestep of any level, interpolated in the logarithm of the level.
    double timestep(double sigma) const;

private:
    Doubles sigmas_, log_sigmas_, timesteps_;
};

// A run's noise levels: step i goes from `sigmas[i]`, at `timesteps[i]`, to `sigmas[i + 1]`. The
// last level, which has no timestep, is 0 or the lowest level of training.
struct Steps {
    Doubles sigmas;
    Doubles timesteps;

    std::size_t size() const { return timesteps.size(); }
    // The share of the run's steps that precede a level: 0 at the first.
    double progress(double sigma) const;
};

// The U-Net's timestep for a level; exact for the run's own levels.
double timestep_of(const Steps& steps, const TrainingNoise& noise, double sigma);

// The deviation of noisy latents of unit variance data: x = x0 + sigma * noise is this times
// latents of variance one, on which U-Nets are trained.
double variance_scale(double sigma);

// Which timesteps evenly spaced steps take: whole timesteps, the beginnings of whole intervals,
// fractional timesteps, or a subset of those that a model was distilled on.
enum class Grid { points, intervals, continuous, distilled };

// `count` falling timesteps of the `total` of training (Lin et al.
// 2023, arXiv 2305.08891, table 2).
Doubles spaced_timesteps(std::int64_t total, std::int64_t count, const std::string& spacing,
                         std::int64_t offset = 0, Grid grid = Grid::points);

// `count` falling timesteps of the `original` ones that a model was distilled on (Luo et al. 2023,
// arXiv 2310.04378, section 4.3). Throws UsageError if `count` is larger than `original`.
Doubles distilled_timesteps(std::int64_t total, std::int64_t count, std::int64_t original);

}  // namespace sdrt
