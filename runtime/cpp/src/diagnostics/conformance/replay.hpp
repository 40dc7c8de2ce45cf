// Golden vectors (docs/conformance.md): does each stage again, from the golden inputs of that stage.
#pragma once

#include "pipeline.hpp"

#include <filesystem>
#include <functional>
#include <string>

namespace sdrt {

// One stage of one case: the worst of its arrays.
struct Finding {
    std::string name;     // of the case
    std::string stage;
    std::string measure;  // "equal", "relative", "sqnr_db" or "psnr_db"
    double found = 0;     // of "equal", how many values differ
    double limit = 0;

    // Whether it is as near as it must be; what is no number is not.
    bool is_within() const;
    // "61.2 dB SQNR"
    std::string text() const;
    std::string limit_text() const;
};

// Of two findings of a stage, whether the first is worse: a failed one, else the greater difference.
bool is_worse(const Finding& one, const Finding& than);

// Replays a file on an open model, and shows each finding, stage by stage. Throws ParityError that names the first
// stage that fails, ArtifactError for a file that is not whole or was written for another artifact.
void replay(Pipeline& pipeline, const std::filesystem::path& golden,
            const std::function<void(const Finding&)>& show);

}  // namespace sdrt
