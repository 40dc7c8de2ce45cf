// The stages of a run, each of which can be done from given inputs.
#pragma once

#include "arrays.hpp"
#include "pipeline.hpp"
#include "request/request.hpp"
#include "text/tokenizer.hpp"

#include <cstddef>
#include <optional>
#include <vector>

namespace sdrt {

// A recorded call of the U-Net: its inputs and output, and the clean latents of the denoiser.
struct UNetCall {
    double sigma;
    Tensor sample;
    float timestep;
    Tensor embeddings;
    std::optional<Tensor> guidance;
    Tensor out;
    Tensor denoised;
};

// The latents after each step, and how many times noise was drawn.
struct SampledPath {
    Tensor latents;
    std::size_t draws = 0;
};

class Stages {
public:
    // `pipeline` must outlive this. Throws UsageError for an impossible number of steps.
    Stages(Pipeline& pipeline, Request request);

    const Request& request() const { return request_; }
    const Steps& steps() const { return steps_; }
    // The shape of a latent: (channels, h, w).
    const Shape& shape() const { return shape_; }

    // The tokens of the prompt, and of the negative prompt if the run is guided.
    std::vector<Tokens> tokens() const;
    // The embeddings of those tokens, all of one length.
    std::vector<Tensor> encode(const std::vector<Tokens>& tokens, RunState& state) const;
    // The first draws of the run's noise: (draws, channels, h, w).
    Tensor noise(std::size_t draws) const;
    // Samples with given noise and clean latents. The last row is
    // repeated if the sampler needs more.
    SampledPath sample(const Tensor& noise, const Tensor& denoised) const;
    // The U-Net's output for the inputs of a call.
    Tensor run_unet(const UNetCall& call, RunState& state) const;
    // The clean latents for the U-Net's output of a call; only the first row of its sample counts.
    Tensor denoise(const UNetCall& call, const std::vector<Tensor>& embeddings) const;
    // The image of the latents (1, channels, h, w) after the last step.
    Image decode(const Tensor& latents, RunState& state) const;
    // The image of the whole run.
    Image picture(RunState& state) const;

private:
    Pipeline& pipeline_;
    Request request_;
    Steps steps_;
    Shape shape_;
};

// Row `index` of an array, as an array of one row.
Tensor row(const Tensor& rows, std::size_t index);

}  // namespace sdrt
