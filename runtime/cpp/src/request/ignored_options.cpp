#include "request/ignored_options.hpp"

#include "errors.hpp"
#include "validation.hpp"

#include <utility>

namespace sdrt {
namespace {

// The options given that say how to combine the predictions for both prompts.
std::vector<std::string> combining_options(const Guidance& guidance) {
    std::vector<std::string> names;
    const auto add = [&](bool is_given, const char* option) {
        if (is_given) {
            names.emplace_back(option);
        }
    };
    add(guidance.rescale > 0, "guidance_rescale");
    add(guidance.start > 0, "guidance_start");
    add(guidance.end < 1, "guidance_end");
    add(guidance.is_split, "guidance_split");
    return names;
}

// Why no step is guided; "" if some are.
std::string unguided_reason(const Manifest& manifest, const Guidance& guidance) {
    if (manifest.is_guidance_distilled()) {
        return "the U-Net of " + sdrt::quoted(manifest.name) + " has guidance inside";
    }
    if (guidance.scale <= 1) {
        return "at a guidance scale of " + number_text(guidance.scale) + " there is no guidance";
    }
    if (guidance.start == guidance.end) {
        return "guidance starts and ends at " + number_text(guidance.start);
    }
    return "";
}

std::string without_effect(const std::vector<std::string>& names, const std::string& reason) {
    return "without effect: " + joined(names, ", ") + ", because " + reason;
}

}  // namespace

void check_distilled_guidance(const std::string& model, const Guidance& guidance) {
    const std::vector<std::string> names = combining_options(guidance);
    if (!names.empty()) {
        throw UsageError(names.front() + " was given, and " + sdrt::quoted(model) +
                         ", whose U-Net has guidance inside, makes a step of one answer; leave " +
                         names.front() + " out, its guidance_scale still counts");
    }
}

std::vector<std::string> ignored_option_warnings(const Manifest& manifest, const Options& options,
                                                 const Guidance& guidance,
                                                 const SamplerSettings& settings) {
    std::vector<std::string> unguided_options;
    if (!options.negative_prompt.empty()) {
        unguided_options.emplace_back("negative_prompt");
    }
    if (guidance.scale <= 1) {
        for (std::string& option : combining_options(guidance)) {
            unguided_options.push_back(std::move(option));
        }
    }
    std::vector<std::string> warnings;
    const std::string reason = unguided_reason(manifest, guidance);
    if (!reason.empty() && !unguided_options.empty()) {
        warnings.push_back(without_effect(unguided_options, reason));
    }
    if (options.spacing && settings.scheduler != "default") {
        warnings.push_back(without_effect(
            {"spacing"},
            "the scheduler " + sdrt::quoted(settings.scheduler) + " spaces the noise levels"));
    } else if (options.spacing && settings.is_distilled()) {
        warnings.push_back(without_effect({"spacing"}, settings.sampler +
                                                           " goes through timesteps that models "
                                                           "were distilled on"));
    }
    return warnings;
}

}  // namespace sdrt
