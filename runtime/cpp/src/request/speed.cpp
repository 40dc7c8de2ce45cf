#include "request/speed.hpp"

#include "errors.hpp"
#include "validation.hpp"

#include <cstdint>

namespace sdrt {
namespace {

constexpr double kSigmaMin = 0.1;  // lower levels change little
constexpr std::int64_t kBalancedSteps = 10;
constexpr std::int64_t kFastSteps = 8;

// Whether the sampler goes through the timesteps that a model was distilled on.
bool is_distilled(const std::string& sampler) {
    return sampler == "lcm" || sampler == "tcd";  // the latter in Python alone
}

// Why the presets are not for a model; "" for one that they are for.
std::string reason_against(const Manifest& manifest, std::int64_t steps) {
    const Defaults& defaults = manifest.defaults;
    if (manifest.is_guidance_distilled() || is_distilled(defaults.sampler) ||
        defaults.num_inference_steps <= steps) {
        return sdrt::quoted(manifest.name) + " is made for few steps by itself";
    }
    if (manifest.schedule.zero_terminal_snr) {
        return sdrt::quoted(manifest.name) +
               " begins at pure noise, for which there is no preset yet";
    }
    return "";
}

}  // namespace

SpeedPreset apply_speed(const Manifest& manifest, Options& options) {
    const std::string name =
        check_known("speed", options.speed.value_or("exact"), {"exact", "balanced", "fast"});
    if (name == "exact") {
        return {};
    }
    const std::int64_t steps = name == "balanced" ? kBalancedSteps : kFastSteps;
    const std::string reason = reason_against(manifest, steps);
    if (!reason.empty()) {
        return {"exact", "without effect: speed " + sdrt::quoted(name) + ", because " + reason};
    }
    if (!options.num_inference_steps) {
        options.num_inference_steps = steps;
    }
    if (!options.sampler && !options.scheduler && !options.spacing) {
        options.sampler = "dpm++2m";
        options.scheduler = "karras";
        options.sampler_options = {{"sigma_min", Option(kSigmaMin)}};
    }
    return {name, ""};
}

}  // namespace sdrt
