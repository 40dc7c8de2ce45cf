// Presets of speed; what each promises is explained in Python's sdrt/request/speed.py.
#pragma once

#include "manifest.hpp"
#include "request/options.hpp"

#include <string>

namespace sdrt {

struct SpeedPreset {
    std::string name = "exact";  // the preset in force
    std::string warning;         // why another is not, if one was asked for
};

// Adds what the preset stands for to options that the caller left out. Throws UsageError for an
// unknown preset.
SpeedPreset apply_speed(const Manifest& manifest, Options& options);

}  // namespace sdrt
