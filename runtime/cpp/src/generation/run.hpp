// A run: from a request to its images.
#pragma once

#include "generation/result.hpp"
#include "networks/open_model.hpp"
#include "request/request.hpp"

namespace sdrt {

class Run {
public:
    // The arguments must outlive the run.
    Run(OpenModel& model, const Request& request, Cancellation& cancellation);

    // Makes the images and calls `callback` after each step. Call it once.
    Result result(const Callback& callback);

private:
    Tensor denoise(const Callback& callback);
    std::vector<Image> decode(const Tensor& latents);

    OpenModel& model_;
    const Request& request_;
    RunState state_;
};

}  // namespace sdrt
