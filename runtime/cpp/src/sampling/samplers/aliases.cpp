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

struct Alias {
    std::string_view sampler;
    std::string_view a1111;
    std::string_view diffusers;  // "" if diffusers has it only as an option of another sampler
    bool is_in_host;             // otherwise only Python has it
};

constexpr std::array kAliases{
    Alias{"ddim", "DDIM", "DDIMScheduler", true},
    Alias{"ddpm", "DDPM", "DDPMScheduler", false},
    Alias{"plms", "PLMS", "PNDMScheduler", false},
    Alias{"euler", "Euler", "EulerDiscreteScheduler", true},
    Alias{"euler_a", "Euler a", "EulerAncestralDiscreteScheduler", true},
    Alias{"heun", "Heun", "HeunDiscreteScheduler", false},
    Alias{"dpm2", "DPM2", "KDPM2DiscreteScheduler", false},
    Alias{"dpm2_a", "DPM2 a", "KDPM2AncestralDiscreteScheduler", false},
    Alias{"lms", "LMS", "LMSDiscreteScheduler", false},
    Alias{"dpm-solver", "DPM-Solver", "", false},
    Alias{"dpm++2m", "DPM++ 2M", "DPMSolverMultistepScheduler", true},
    Alias{"dpm++2m_sde", "DPM++ 2M SDE", "", false},
    Alias{"dpm++3m_sde", "DPM++ 3M SDE", "", false},
    Alias{"dpm++2s", "DPM++ 2S", "DPMSolverSinglestepScheduler", false},
    Alias{"dpm++2s_a", "DPM++ 2S a", "", false},
    Alias{"dpm++sde", "DPM++ SDE", "DPMSolverSDEScheduler", false},
    Alias{"unipc", "UniPC", "UniPCMultistepScheduler", true},
    Alias{"deis", "DEIS", "DEISMultistepScheduler", false},
    Alias{"ipndm", "IPNDM", "IPNDMScheduler", false},
    Alias{"lcm", "LCM", "LCMScheduler", true},
    Alias{"tcd", "TCD", "TCDScheduler", false},
};

constexpr std::array<std::string_view, 6> kPythonSchedulers{
    "karras", "exponential", "polyexponential", "beta", "ays", "ays-sdxl"};

std::string lower(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return result;
}

// A name in lower case without spaces, underscores and dashes.
std::string squeezed(std::string_view name) {
    std::string text = lower(name);
    for (auto at = text.find("dpmpp"); at != std::string::npos; at = text.find("dpmpp", at)) {
        text.replace(at, 5, "dpm++");
    }
    const auto is_filler = [](char c) { return c == ' ' || c == '_' || c == '-'; };
    text.erase(std::remove_if(text.begin(), text.end(), is_filler), text.end());
    return text;
}

std::vector<std::string> words_in(const std::string& name) {
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
    const Alias* alias = nullptr;
    std::optional<std::string> scheduler;
};

template <class Predicate>
const Alias* first_alias(const Predicate& predicate) {
    const auto* const match = std::find_if(kAliases.begin(), kAliases.end(), predicate);
    return match == kAliases.end() ? nullptr : &*match;
}

// Matches a name in the order of Python's find_sampler.
Match match(const std::string& name) {
    if (const Alias* alias =
            first_alias([&](const Alias& candidate) { return candidate.sampler == name; })) {
        return {alias, std::nullopt};
    }
    if (const Alias* alias = first_alias(
            [&](const Alias& candidate) { return !name.empty() && candidate.diffusers == name; })) {
        return {alias, std::nullopt};
    }
    auto words = words_in(name);
    std::optional<std::string> scheduler;
    if (words.size() > 1 && std::find(kPythonSchedulers.begin(), kPythonSchedulers.end(),
                                      words.back()) != kPythonSchedulers.end()) {
        scheduler = words.back();
        words.pop_back();
    }
    const std::string key = squeezed(scheduler ? joined(words, " ") : name);
    return {first_alias([&](const Alias& candidate) {
                return key == squeezed(candidate.sampler) || key == squeezed(candidate.a1111);
            }),
            scheduler};
}

}  // namespace

const std::vector<std::string>& sampler_names() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> in_host;
        for (const auto& alias : kAliases) {
            if (alias.is_in_host) {
                in_host.emplace_back(alias.sampler);
            }
        }
        return in_host;
    }();
    return names;
}

const std::vector<std::string>& scheduler_names() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> all{"default"};
        const auto& schedules = sigma_schedule_names();
        all.insert(all.end(), schedules.begin(), schedules.end());
        return all;
    }();
    return names;
}

SamplerChoice find_sampler(const std::string& name) {
    const Match best = match(name);
    if (best.alias == nullptr) {
        check_known("sampler", name, sampler_names());
    } else if (!best.alias->is_in_host) {
        throw UnsupportedError("this host has no sampler " + sdrt::quoted(best.alias->sampler) +
                               "; it has: " + joined(sampler_names()));
    }
    return {std::string(best.alias->sampler), best.scheduler};
}

const std::string& check_scheduler(const std::string& name) {
    const auto& names = scheduler_names();
    if (std::find(names.begin(), names.end(), name) == names.end() &&
        std::find(kPythonSchedulers.begin(), kPythonSchedulers.end(), name) !=
            kPythonSchedulers.end()) {
        throw UnsupportedError("this host has no scheduler " + sdrt::quoted(name) +
                               "; it has: " + joined(names));
    }
    return check_known("scheduler", name, names);
}

std::string a1111_name(const std::string& sampler) {
    const Alias* alias =
        first_alias([&](const Alias& candidate) { return candidate.sampler == sampler; });
    return alias != nullptr ? std::string(alias->a1111) : sampler;
}

}  // namespace sdrt
