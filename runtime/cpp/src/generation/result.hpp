// The steps and the result of a run.
#pragma once

#include "arrays.hpp"
#include "images/metadata.hpp"
#include "images/png.hpp"
#include "networks/run_state.hpp"

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace sdrt {

// A finished step. `latents` and the current prediction `denoised` of the clean latents are
// (images, channels, h/8, w/8).
struct Step {
    std::size_t index;
    std::size_t count;
    double sigma;  // noise level of `latents`
    const Tensor& latents;
    const Tensor& denoised;
    double seconds;
};
using Callback = std::function<void(const Step&)>;  // an exception ends the run

struct Result {
    std::vector<Image> images;
    std::vector<Parameters> parameters;
    Timings timings;
    std::vector<std::string> warnings;
};

}  // namespace sdrt
