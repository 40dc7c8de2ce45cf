#include "sampling/samplers/aliases.hpp"

#include "errors.hpp"
#include "sampling/sigma_schedules.hpp"
#include "validation.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <sstream>
#include <utility>

namespace sdrt {
namespace {

struct Name {
    std::string_view sampler;
    std::string_view a1111;
    std::string_view diffusers;  // "" where diffusers has it only as an option of another
    bool is_here;                // or in Python only
};

constexpr std::array kNames{
    Name{"ddim", "DDIM", "DDIMScheduler", true},
    Name{"ddpm", "DDPM", "DDPMScheduler", false},
    Name{"plms", "PLMS", "PNDMScheduler", false},
    Name{"euler", "Euler", "EulerDiscreteScheduler", true},
    Name{"euler_a", "Euler a", "EulerAncestralDiscreteScheduler", true},
    Name{"heun", "Heun", "HeunDiscreteScheduler", false},
    Name{"dpm2", "DPM2", "KDPM2DiscreteScheduler", false},
    Name{"dpm2_a", "DPM2 a", "KDPM2AncestralDiscreteScheduler", false},
    Name{"lms", "LMS", "LMSDiscreteScheduler", false},
    Name{"dpm-solver", "DPM-Solver", "", false},
    Name{"dpm++2m", "DPM++ 2M", "DPMSolverMultistepScheduler", true},
    Name{"dpm++2m_sde", "DPM++ 2M SDE", "", false},
    Name{"dpm++3m_sde", "DPM++ 3M SDE", "", false},
    Name{"dpm++2s", "DPM++ 2S", "DPMSolverSinglestepScheduler", false},
    Name{"dpm++2s_a", "DPM++ 2S a", "", false},
    Name{"dpm++sde", "DPM++ SDE", "DPMSolverSDEScheduler", false},
    Name{"unipc", "UniPC", "UniPCMultistepScheduler", true},
    Name{"deis", "DEIS", "DEISMultistepScheduler", false},
    Name{"ipndm", "IPNDM", "IPNDMScheduler", false},
    Name{"lcm", "LCM", "LCMScheduler", true},
    Name{"tcd", "TCD", "TCDScheduler", false},
};

constexpr std::array<std::string_view, 6> kPythonSchedulers{
    "karras", "exponential", "polyexponential", "beta", "ays", "ays-sdxl"};

std::string lower(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return result;
}

// What is left of a name without case, blanks and dashes.
std::string squeezed(std::string_view name) {
    std::string text = lower(name);
    for (auto at = text.find("dpmpp"); at != std::string::npos; at = text.find("dpmpp", at)) {
        text.replace(at, 5, "dpm++");
    }
    const auto is_filler = [](char c) { return c == ' ' || c == '_' || c == '-'; };
    text.erase(std::remove_if(text.begin(), text.end(), is_filler), text.end());
    return text;
}

std::vector<std::string> words_of(const std::string& name) {
    std::string text = lower(name);
    std::replace(text.begin(), text.end(), '_', ' ');
    std::istringstream stream(text);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) {
        words.push_back(word);
    }
    return words;
}

struct Match {
    const Name* name = nullptr;
    std::optional<std::string> scheduler;
};

template <class Matches>
const Name* first(const Matches& matches) {
    const auto* const found = std::find_if(kNames.begin(), kNames.end(), matches);
    return found == kNames.end() ? nullptr : &*found;
}

// In the order of Python's find_sampler.
Match match(const std::string& name) {
    if (const Name* own = first([&](const Name& one) { return one.sampler == name; })) {
        return {own, std::nullopt};
    }
    if (const Name* theirs =
            first([&](const Name& one) { return !name.empty() && one.diffusers == name; })) {
        return {theirs, std::nullopt};
    }
    auto words = words_of(name);
    std::optional<std::string> scheduler;
    if (words.size() > 1 && std::find(kPythonSchedulers.begin(), kPythonSchedulers.end(),
                                      words.back()) != kPythonSchedulers.end()) {
        scheduler = words.back();
        words.pop_back();
    }
    const std::string wanted = squeezed(scheduler ? joined(words, " ") : name);
    return {first([&](const Name& one) {
                return wanted == squeezed(one.sampler) || wanted == squeezed(one.a1111);
            }),
            scheduler};
}

}  // namespace

const std::vector<std::string>& sampler_names() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> here;
        for (const auto& one : kNames) {
            if (one.is_here) {
                here.emplace_back(one.sampler);
            }
        }
        return here;
    }();
    return names;
}

const std::vector<std::string>& scheduler_names() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> here{"default"};
        here.insert(here.end(), spacing_names().begin(), spacing_names().end());
        return here;
    }();
    return names;
}

FoundSampler find_sampler(const std::string& name) {
    const Match found = match(name);
    if (found.name == nullptr) {
        check_known("sampler", name, sampler_names());
    } else if (!found.name->is_here) {
        throw UnsupportedError("this host has no sampler " + sdrt::quoted(found.name->sampler) +
                               "; it has: " + joined(sampler_names()));
    }
    return {std::string(found.name->sampler), found.scheduler};
}

const std::string& check_scheduler(const std::string& name) {
    const auto& here = scheduler_names();
    if (std::find(here.begin(), here.end(), name) == here.end() &&
        std::find(kPythonSchedulers.begin(), kPythonSchedulers.end(), name) !=
            kPythonSchedulers.end()) {
        throw UnsupportedError("this host has no scheduler " + sdrt::quoted(name) +
                               "; it has: " + joined(here));
    }
    return check_known("scheduler", name, here);
}

std::string a1111_name(const std::string& sampler) {
    const Name* found = first([&](const Name& one) { return one.sampler == sampler; });
    return found != nullptr ? std::string(found->a1111) : sampler;
}

}  // namespace sdrt
