// Noise levels: what the model was trained on, and which of them a run goes through.
//
// Everything is in the variance-exploding form of Karras et al. 2022 (arXiv 2206.00364): a noisy
// latent is x = x0 + sigma * noise, so that sigma alone tells how noisy it is.
#pragma once

#include "arrays.hpp"
#include "manifest.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace sdrt {

// The noise levels of training: `sigmas()[t]` for each timestep t, ascending.
class TrainingNoise {
public:
    explicit TrainingNoise(const TrainingSchedule& schedule);

    const Doubles& sigmas() const { return sigmas_; }
    // How many timesteps training had.
    std::int64_t steps() const { return static_cast<std::int64_t>(sigmas_.size()); }
    // The level at any timestep; between two, in proportion.
    double sigma(double timestep) const;
    // The timestep of any level; between two, in proportion of the logarithms.
    double timestep(double sigma) const;

private:
    Doubles sigmas_, log_sigmas_, timesteps_;
};

// One run's noise levels: from `sigmas[i]`, at `timesteps[i]`, to `sigmas[i + 1]`. There is one level
// more than timesteps; the last is what is left: 0, or the lowest level of training.
struct Steps {
    Doubles sigmas;
    Doubles timesteps;

    std::size_t size() const { return timesteps.size(); }
    // The share of the run's steps that are done at a level: 0 at the first.
    double progress(double sigma) const;
};

// The timestep to tell the U-Net for a level: exact for the run's own levels.
double timestep_of(const Steps& steps, const TrainingNoise& noise, double sigma);

// Which timesteps evenly spaced steps take: so many whole ones; the beginnings of so many whole
// intervals; so many, broken where they fall; or some of those that a model was distilled on.
enum class Grid { points, intervals, continuous, distilled };

// `count` of `total` training timesteps, falling (Lin et al. 2023, arXiv 2305.08891, table 2).
Doubles spaced(std::int64_t total, std::int64_t count, const std::string& spacing,
               std::int64_t offset = 0, Grid grid = Grid::points);

// `count` of the `original` timesteps that a model was distilled on, falling (Luo et al. 2023, arXiv
// 2310.04378, section 4.3). Throws UsageError for more than those.
Doubles distilled(std::int64_t total, std::int64_t count, std::int64_t original);

}  // namespace sdrt
