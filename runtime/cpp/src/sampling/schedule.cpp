#include "sampling/schedule.hpp"

#include "errors.hpp"
#include "sampling/sigma_schedules.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace sdrt {

namespace {

constexpr double kHalfPi = 3.14159265358979323846 / 2;

// The remaining variance of the signal at a fraction of the training timesteps (Nichol and Dhariwal
// 2021, arXiv 2102.09672, eq. 17).
double alpha_bar(double fraction) {
    const double cosine = std::cos((fraction + 0.008) / 1.008 * kHalfPi);
    return cosine * cosine;
}

// The variance that each training timestep adds.
Doubles betas(const TrainingSchedule& schedule) {
    const std::int64_t steps = schedule.train_steps;
    if (schedule.curve == "linear") {
        return linspace(schedule.beta_start, schedule.beta_end, steps);
    }
    Doubles values;
    if (schedule.curve == "scaled_linear") {
        values = linspace(std::sqrt(schedule.beta_start), std::sqrt(schedule.beta_end), steps);
        for (double& value : values) {
            value *= value;
        }
        return values;
    }
    const auto total = static_cast<double>(steps);
    for (std::int64_t i = 0; i < steps; ++i) {
        const double before = alpha_bar(static_cast<double>(i) / total);
        const double after = alpha_bar(static_cast<double>(i + 1) / total);
        values.push_back(std::min(1 - after / before, 0.999));
    }
    return values;
}

// Shifts and scales so that the last level has zero SNR (Lin et al. 2023, algorithm 1). Its
// remaining signal is 2**-24 instead of 0, so that sigma is finite: 4096, as in diffusers.
void rescale_to_zero_terminal_snr(Doubles& alphas_cumprod) {
    const double first = std::sqrt(alphas_cumprod.front());
    const double last = std::sqrt(alphas_cumprod.back());
    for (double& alpha : alphas_cumprod) {
        const double shifted = (std::sqrt(alpha) - last) * first / (first - last);
        alpha = shifted * shifted;
    }
    alphas_cumprod.back() = std::ldexp(1.0, -24);
}

}  // namespace

TrainingNoise::TrainingNoise(const TrainingSchedule& schedule) {
    Doubles alphas_cumprod;
    double product = 1.0;
    for (const double beta : betas(schedule)) {
        product *= 1 - beta;
        alphas_cumprod.push_back(product);
    }
    if (schedule.zero_terminal_snr) {
        rescale_to_zero_terminal_snr(alphas_cumprod);
    }
    for (const double alpha : alphas_cumprod) {
        timesteps_.push_back(static_cast<double>(timesteps_.size()));
        sigmas_.push_back(std::sqrt((1 - alpha) / alpha));
        log_sigmas_.push_back(std::log(sigmas_.back()));
    }
}

double TrainingNoise::sigma(double timestep) const {
    return interpolate(timestep, timesteps_, sigmas_);
}

double TrainingNoise::timestep(double sigma) const {
    return interpolate(std::log(sigma), log_sigmas_, timesteps_);
}

double Steps::progress(double sigma) const {
    const auto done = std::count_if(sigmas.begin(), sigmas.end() - 1,
                                    [&](double level) { return level > sigma; });
    return static_cast<double>(done) / static_cast<double>(size());
}

double timestep_of(const Steps& steps, const TrainingNoise& noise, double sigma) {
    for (std::size_t i = 0; i < steps.size(); ++i) {
        if (steps.sigmas[i] == sigma) {
            return steps.timesteps[i];
        }
    }
    return noise.timestep(sigma);
}

double variance_scale(double sigma) { return std::sqrt(1 + sigma * sigma); }

Doubles spaced_timesteps(std::int64_t total, std::int64_t count, const std::string& spacing,
                         std::int64_t offset, Grid grid) {
    Doubles timesteps;
    if (spacing == "trailing") {
        const double step = -static_cast<double>(total) / static_cast<double>(count);
        const double delta = (static_cast<double>(total) + step) - static_cast<double>(total);
        for (std::int64_t i = 0; i < count; ++i) {
            const double place = static_cast<double>(total) + static_cast<double>(i) * delta;
            timesteps.push_back(std::nearbyint(place) - 1);
        }
        return timesteps;
    }
    // If there are as many intervals as timesteps, their beginnings are the timesteps themselves.
    const std::int64_t points = grid == Grid::intervals && count < total ? count + 1 : count;
    if (spacing == "leading") {
        const std::int64_t width = total / points;
        const std::int64_t shift = std::min(offset, total - 1 - (points - 1) * width);
        for (std::int64_t i = 0; i < count; ++i) {
            timesteps.push_back(static_cast<double>((points - 1 - i) * width + shift));
        }
        return timesteps;
    }
    const Doubles rising = linspace(0.0, static_cast<double>(total - 1), points);
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
        const double place = rising[rising.size() - 1 - i];
        timesteps.push_back(grid == Grid::continuous ? place : std::nearbyint(place));
    }
    return timesteps;
}

Doubles distilled_timesteps(std::int64_t total, std::int64_t count, std::int64_t original) {
    if (count > original) {
        const std::string limit = std::to_string(original);
        throw UsageError("steps is " + std::to_string(count) + "; a model distilled on " + limit +
                         " takes from 1 to " + limit + " (2 to 8 are usual)");
    }
    const double step = static_cast<double>(original) / static_cast<double>(count);
    Doubles timesteps;
    for (std::int64_t i = 0; i < count; ++i) {
        const auto place = static_cast<std::int64_t>(static_cast<double>(i) * step);
        timesteps.push_back(static_cast<double>((original - place) * (total / original) - 1));
    }
    return timesteps;
}

}  // namespace sdrt
