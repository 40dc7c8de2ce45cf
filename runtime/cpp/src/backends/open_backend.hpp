// Opens one of the engines that this build has.
#pragma once

#include "backends/backend.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sdrt {

// Which engine to open, and how; whatever is left out has a default.
struct EngineOptions {
    std::optional<std::string> name;       // default: the fastest engine of this build
    std::optional<std::string> device;     // the engine's name of a device: "CPU", "GPU"
    std::optional<std::string> precision;  // precision to execute; default: the stored one
    std::optional<std::int64_t> threads;   // default: the physical cores that this process may use
};

// Names of the engines in this build, the fastest first.
const std::vector<std::string>& built_backends();

// Throws UsageError for an unknown name, UnsupportedError for what this build or machine lacks.
std::shared_ptr<Backend> open_backend(const EngineOptions& options);

}  // namespace sdrt
