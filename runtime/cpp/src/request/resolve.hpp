// Validates the options of a generation and completes them with the model's defaults.
#pragma once

#include "manifest.hpp"
#include "request/options.hpp"
#include "request/request.hpp"

namespace sdrt {

// Throws UsageError for an invalid option, UnsupportedError for what the model or this host lacks.
Request resolve(const Manifest& manifest, const Options& options);

}  // namespace sdrt
