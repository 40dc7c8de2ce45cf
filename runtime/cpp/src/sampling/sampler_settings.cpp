#include "sampling/sampler_settings.hpp"

#include "errors.hpp"
#include "sampling/option_values.hpp"
#include "sampling/samplers/registry.hpp"
#include "sampling/sigma_schedules.hpp"
#include "validation.hpp"

#include <utility>

namespace sdrt {
namespace {

Steps steps_at_timesteps(const TrainingNoise& noise, Doubles timesteps, double last) {
    Doubles sigmas;
    for (const double timestep : timesteps) {
        sigmas.push_back(noise.sigma(timestep));
    }
    sigmas.push_back(last);
    return {std::move(sigmas), std::move(timesteps)};
}

Steps steps_at_levels(const TrainingNoise& noise, Doubles sigmas, double last) {
    Doubles timesteps;
    for (const double sigma : sigmas) {
        timesteps.push_back(noise.timestep(sigma));
    }
    sigmas.push_back(last);
    return {std::move(sigmas), std::move(timesteps)};
}

// The level that the last step of a sigma schedule begins at; throws UsageError outside training's.
double lowest_level(const Named<Option>& options, double lowest, double highest) {
    if (find(options, "sigma_min") == nullptr) {
        return lowest;
    }
    const double level = number(options, "sigma_min", lowest);
    if (level < lowest || level >= highest) {
        throw UsageError("sigma_min is " + short_number(level) +
                         "; the model was trained on levels from " + short_number(lowest) + " to " +
                         short_number(highest) + ", so expected one of these below the highest");
    }
    return level;
}

}  // namespace

bool SamplerSettings::is_distilled() const {
    return scheduler == "default" && registered_sampler(sampler).grid == Grid::distilled;
}

Steps SamplerSettings::steps(const TrainingNoise& noise, std::int64_t count) const {
    check_whole("steps", count, 1, noise.steps());
    const Sampler& info = registered_sampler(sampler);
    const double lowest = noise.sigmas().front();
    const std::string final_level =
        option<std::string>(options, "final", info.ends_at_zero ? "zero" : "min");
    const double last = final_level == "zero" ? 0.0 : lowest;
    if (scheduler != "default") {
        std::optional<double> rho;
        if (find(options, "rho") != nullptr) {
            rho = number(options, "rho", 0.0);
        }
        const double highest = noise.sigmas().back();
        Doubles levels =
            sigma_schedule(scheduler, highest, lowest_level(options, lowest, highest), count, rho);
        const double rest = last >= levels.back() ? 0.0 : last;
        return steps_at_levels(noise, std::move(levels), rest);
    }
    const Doubles timesteps =
        is_distilled() ? distilled_timesteps(noise.steps(), count,
                                             option<std::int64_t>(options, "original_steps", 50))
                       : spaced_timesteps(noise.steps(), count, spacing, offset, info.grid);
    Steps steps = steps_at_timesteps(noise, timesteps, last);
    if (last >= steps.sigmas[timesteps.size() - 1]) {
        steps.sigmas.back() = 0.0;  // after the lowest level, only zero is left
    }
    return steps;
}

Tensor SamplerSettings::sample(const Denoise& denoise, Tensor x, const Doubles& sigmas,
                               const Draw& draw, const OnStep& on_step) const {
    const SamplerInputs inputs{denoise, sigmas, draw, on_step};
    MultistepOptions multistep;
    multistep.order = option<std::int64_t>(options, "order", 2);
    multistep.lower_order_final = option(options, "lower_order_final", true);
    if (sampler == "dpm++2m") {
        multistep.solver_type = option<std::string>(options, "solver_type", "midpoint");
        multistep.euler_at_final = option(options, "euler_at_final", false);
        return dpmpp_2m(inputs, std::move(x), multistep);
    }
    if (sampler == "unipc") {
        multistep.solver_type = option<std::string>(options, "solver_type", "bh2");
        multistep.predict_x0 = option(options, "predict_x0", true);
        return unipc(inputs, std::move(x), multistep);
    }
    if (sampler == "lcm") {
        return lcm(inputs, std::move(x));
    }
    return euler(inputs, std::move(x), number(options, "eta", registered_sampler(sampler).eta));
}

std::optional<double> SamplerSettings::timestep_scaling() const {
    if (sampler != "lcm") {
        return std::nullopt;
    }
    return number(options, "timestep_scaling", 10.0);
}

}  // namespace sdrt
