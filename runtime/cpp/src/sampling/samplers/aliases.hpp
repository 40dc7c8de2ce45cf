// The names of samplers and schedulers in sdrt, in diffusers and in AUTOMATIC1111's web UI.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace sdrt {

// The samplers and schedulers of this host, in Python's order.
const std::vector<std::string>& sampler_names();
const std::vector<std::string>& scheduler_names();

struct SamplerChoice {
    std::string sampler;
    std::optional<std::string> scheduler;  // if the name ends with that of a scheduler
};

// The sampler that a name stands for: "DPM++ 2M Karras", "dpmpp_2m" and
// "DPMSolverMultistepScheduler" all mean `dpm++2m`. Throws UsageError for an unknown name,
// UnsupportedError for a sampler that only Python has.
SamplerChoice find_sampler(const std::string& name);

// Checks a scheduler's name. Throws the same errors as find_sampler.
const std::string& check_scheduler(const std::string& name);

// The name in AUTOMATIC1111's web UI: "DPM++ 2M" for `dpm++2m`.
std::string a1111_name(const std::string& sampler);

}  // namespace sdrt
