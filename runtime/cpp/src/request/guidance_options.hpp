// Reads the guidance options.
#pragma once

#include "manifest.hpp"
#include "request/options.hpp"
#include "sampling/guidance.hpp"

namespace sdrt {

// Throws UsageError for a value out of range, or an option that a
// U-Net with built-in guidance lacks.
Guidance read_guidance(const Manifest& manifest, const Options& options);

}  // namespace sdrt
