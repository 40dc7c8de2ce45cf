#include "request/ignored_options.hpp"

#include "errors.hpp"
#include "validation.hpp"

namespace sdrt {
namespace {

std::vector<std::string> of_two_answers(const Guidance& guidance) {
    std::vector<std::string> said;
    const auto add = [&](bool is_said, const char* option) {
        if (is_said) {
            said.emplace_back(option);
        }
    };
    add(guidance.rescale > 0, "guidance_rescale");
    add(guidance.start > 0, "guidance_start");
    add(guidance.end < 1, "guidance_end");
    add(guidance.is_split, "guidance_split");
    return said;
}

// Nothing where some steps are guided.
std::string why_not_guided(const std::string& name, const Guidance& guidance, bool guides_itself) {
    if (guides_itself) {
        return "the U-Net of " + sdrt::quoted(name) + " has guidance inside";
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

void check_guides_itself(const std::string& name, const Guidance& guidance) {
    const std::vector<std::string> said = of_two_answers(guidance);
    if (!said.empty()) {
        throw UsageError(said.front() + " was given, and " + sdrt::quoted(name) +
                         ", whose U-Net has guidance inside, makes a step of one answer; leave " +
                         said.front() + " out, its guidance_scale still counts");
    }
}

std::vector<std::string> unheeded(const std::string& name, const Options& options,
                                  const Guidance& guidance, bool guides_itself,
                                  const Recipe& recipe) {
    std::vector<std::string> told;
    if (!options.negative_prompt.empty()) {
        told.emplace_back("negative_prompt");
    }
    if (guidance.scale <= 1) {
        for (std::string& option : of_two_answers(guidance)) {
            told.push_back(std::move(option));
        }
    }
    std::vector<std::string> found;
    const std::string off = why_not_guided(name, guidance, guides_itself);
    if (!off.empty() && !told.empty()) {
        found.push_back(without_effect(told, off));
    }
    if (options.spacing && recipe.scheduler != "default") {
        found.push_back(without_effect({"spacing"}, "the scheduler " +
                                                        sdrt::quoted(recipe.scheduler) +
                                                        " spaces the noise levels"));
    } else if (options.spacing && recipe.is_distilled()) {
        found.push_back(without_effect({"spacing"}, recipe.sampler +
                                                        " goes through timesteps that models were "
                                                        "distilled on"));
    }
    return found;
}

}  // namespace sdrt
