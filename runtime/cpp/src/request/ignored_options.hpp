// Options without effect: an error if the model can never apply them, otherwise a warning. Python's
// ignored_options.py knows more of them.
#pragma once

#include "manifest.hpp"
#include "request/options.hpp"
#include "sampling/guidance.hpp"
#include "sampling/sampler_settings.hpp"

#include <string>
#include <vector>

namespace sdrt {

// Throws UsageError for an option that combines two predictions, if the U-Net has
// built-in guidance and makes only one.
void check_distilled_guidance(const std::string& model, const Guidance& guidance);

// Warnings about options that have no effect because of other options.
std::vector<std::string> ignored_option_warnings(const Manifest& manifest, const Options& options,
                                                 const Guidance& guidance,
                                                 const SamplerSettings& settings);

}  // namespace sdrt
