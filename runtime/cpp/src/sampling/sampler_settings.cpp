#include "sampling/sampler_settings.hpp"

#include "errors.hpp"
#include "sampling/option_values.hpp"
#include "sampling/samplers/sampler.hpp"
#include "sampling/sigma_schedules.hpp"
#include "validation.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

namespace sdrt {

namespace {

// What a run needs to know about a sampler beside its method.
struct Sampler {
    std::string_view name;
    Grid grid;
    bool ends_at_zero;  // or at the lowest level that the model was trained on
    double eta;         // share of new noise, where an option does not say another
};

constexpr std::array kSamplers = {
    Sampler{"ddim", Grid::points, false, 0.0},       Sampler{"euler", Grid::continuous, true, 0.0},
    Sampler{"euler_a", Grid::continuous, true, 1.0}, Sampler{"dpm++2m", Grid::intervals, true, 0.0},
    Sampler{"unipc", Grid::intervals, true, 0.0},    Sampler{"lcm", Grid::distilled, true, 0.0},
};

const Sampler& sampler_of(const std::string& name) {
    const auto* found = std::find_if(kSamplers.begin(), kSamplers.end(),
                                     [&](const Sampler& one) { return one.name == name; });
    if (found == kSamplers.end()) {
        throw UnsupportedError("this host has no sampler " + sdrt::quoted(name));
    }
    return *found;
}

Steps at_timesteps(const TrainingNoise& noise, Doubles timesteps, double last) {
    Doubles sigmas;
    for (const double timestep : timesteps) {
        sigmas.push_back(noise.sigma(timestep));
    }
    sigmas.push_back(last);
    return {std::move(sigmas), std::move(timesteps)};
}

Steps at_levels(const TrainingNoise& noise, Doubles sigmas, double last) {
    Doubles timesteps;
    for (const double sigma : sigmas) {
        timesteps.push_back(noise.timestep(sigma));
    }
    sigmas.push_back(last);
    return {std::move(sigmas), std::move(timesteps)};
}

// The level to step down to, and of the noise to add then; together they make `following`.
std::pair<double, double> split(double sigma, double following, double eta) {
    const double ratio = following / sigma;
    const double up = eta * following * std::sqrt(std::max(0.0, 1 - ratio * ratio));
    return {std::sqrt(std::max(0.0, following * following - up * up)), up};
}

}  // namespace

Tensor euler(const Journey& journey, Tensor x, double eta) {
    for (std::size_t index = 0; index < journey.steps(); ++index) {
        const double sigma = journey.sigmas[index], following = journey.sigmas[index + 1];
        const Tensor denoised = journey.denoise(x, sigma);
        const auto [down, up] = split(sigma, following, eta);
        x = denoised + (std::move(x) - denoised) * (down / sigma);
        if (up != 0.0) {
            x = std::move(x) + journey.draw() * up;
        }
        journey.watch(index, x, denoised);
    }
    return x;
}

Tensor lcm(const Journey& journey, Tensor x) {
    for (std::size_t index = 0; index < journey.steps(); ++index) {
        const Tensor denoised = journey.denoise(x, journey.sigmas[index]);
        x = denoised;
        if (index + 1 < journey.steps()) {
            x = std::move(x) + journey.draw() * journey.sigmas[index + 1];
        }
        journey.watch(index, x, denoised);
    }
    return x;
}

bool Recipe::is_distilled() const {
    return scheduler == "default" && sampler_of(sampler).grid == Grid::distilled;
}

Steps Recipe::steps(const TrainingNoise& noise, std::int64_t count) const {
    check_whole("steps", count, 1, noise.steps());
    const Sampler& own = sampler_of(sampler);
    const double lowest = noise.sigmas().front();
    const std::string final = option<std::string>(options, "final", own.ends_at_zero ? "zero" : "min");
    const double last = final == "zero" ? 0.0 : lowest;
    if (scheduler != "default") {
        std::optional<double> rho;
        if (find(options, "rho") != nullptr) {
            rho = number(options, "rho", 0.0);
        }
        Doubles levels = levels_of(scheduler, noise.sigmas().back(), lowest, count, rho);
        const double rest = last >= levels.back() ? 0.0 : last;
        return at_levels(noise, std::move(levels), rest);
    }
    const Doubles timesteps =
        is_distilled()
            ? distilled(noise.steps(), count, option<std::int64_t>(options, "original_steps", 50))
            : spaced(noise.steps(), count, spacing, offset, own.grid);
    Steps steps = at_timesteps(noise, timesteps, last);
    if (last >= steps.sigmas[timesteps.size() - 1]) {
        steps.sigmas.back() = 0.0;  // a run down to the lowest level has only zero left to go to
    }
    return steps;
}

Tensor Recipe::sample(const Denoise& denoise, Tensor x, const Doubles& sigmas, const Draw& draw,
                      const Watch& watch) const {
    const Journey journey{denoise, sigmas, draw, watch};
    Multistep form;
    form.order = option<std::int64_t>(options, "order", 2);
    form.lower_order_final = option(options, "lower_order_final", true);
    if (sampler == "dpm++2m") {
        form.solver_type = option<std::string>(options, "solver_type", "midpoint");
        form.euler_at_final = option(options, "euler_at_final", false);
        return dpmpp_2m(journey, std::move(x), form);
    }
    if (sampler == "unipc") {
        form.solver_type = option<std::string>(options, "solver_type", "bh2");
        form.predict_x0 = option(options, "predict_x0", true);
        return unipc(journey, std::move(x), form);
    }
    if (sampler == "lcm") {
        return lcm(journey, std::move(x));
    }
    return euler(journey, std::move(x), number(options, "eta", sampler_of(sampler).eta));
}

std::optional<double> Recipe::timestep_scaling() const {
    if (sampler != "lcm") {
        return std::nullopt;
    }
    return number(options, "timestep_scaling", 10.0);
}

}  // namespace sdrt
