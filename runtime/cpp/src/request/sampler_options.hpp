// The options of samplers, which Python's samplers explain.
#pragma once

#include "manifest.hpp"
#include "request/options.hpp"
#include "sampling/sampler_settings.hpp"

#include <string>

namespace sdrt {

// Throws UsageError for an option that the sampler lacks, or a value that the option does not take.
void check_sampler_options(const std::string& sampler, const Named<Option>& options);

// The model's default settings with what the options change. Throws UsageError or UnsupportedError.
SamplerSettings read_sampler_options(const Manifest& manifest, const Options& options);

}  // namespace sdrt
