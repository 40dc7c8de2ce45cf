// The options that samplers take; what they mean: Python's samplers.
#pragma once

#include "manifest.hpp"

#include <string>

namespace sdrt {

// Throws UsageError for an option that the sampler has not, or a value that the option does not take.
void check_sampler_options(const std::string& sampler, const Named<Option>& options);

}  // namespace sdrt
