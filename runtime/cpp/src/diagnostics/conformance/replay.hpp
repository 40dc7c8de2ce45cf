// Replays golden vectors (docs/embed/conformance.md): repeats each stage from its golden inputs.
#pragma once

#include "diagnostics/conformance/tolerance.hpp"
#include "pipeline.hpp"

#include <filesystem>
#include <functional>
#include <string>

namespace sdrt {

// The largest difference of one stage of one case.
struct Finding {
    std::string case_name;
    std::string stage;
    Difference difference;
};

// Whether the first of two findings of a stage is worse: a failure, or else the larger difference.
bool is_worse(const Finding& finding, const Finding& other);

// Replays a file on an open model, and passes each finding to `show`, stage by stage. Throws
// ParityError that names the first stage that fails, ArtifactError for a file that is damaged or
// was written for another artifact.
void replay(Pipeline& pipeline, const std::filesystem::path& golden,
            const std::function<void(const Finding&)>& show);

}  // namespace sdrt
