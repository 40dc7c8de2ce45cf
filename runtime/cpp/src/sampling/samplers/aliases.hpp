// Samplers and schedulers by all the names they have: here, in diffusers and in AUTOMATIC1111's web
// UI.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace sdrt {

// Which of Python's samplers and schedulers this host has, in Python's order.
const std::vector<std::string>& sampler_names();
const std::vector<std::string>& scheduler_names();

struct FoundSampler {
    std::string sampler;
    std::optional<std::string> scheduler;  // if the name ends with one
};

// The sampler that a name means: "DPM++ 2M Karras", "dpmpp_2m" and "DPMSolverMultistepScheduler" all
// mean `dpm++2m`. Throws UsageError for a name that means nothing, UnsupportedError for a sampler
// that only Python has.
FoundSampler find_sampler(const std::string& name);

// The scheduler itself; throws as find_sampler does.
const std::string& check_scheduler(const std::string& name);

// "DPM++ 2M" of `dpm++2m`.
std::string a1111_name(const std::string& sampler);

}  // namespace sdrt
