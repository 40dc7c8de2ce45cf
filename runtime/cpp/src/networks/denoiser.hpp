// The U-Net with guidance and its kind of prediction as `denoise(x, sigma)`, which samplers call.
#pragma once

#include "arrays.hpp"
#include "sampling/guidance.hpp"
#include "sampling/schedule.hpp"
#include "text/conditioning.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace sdrt {

// Runs the U-Net once on noisy latents scaled to variance one (batch, channels, h/8, w/8), the
// timestep, the conditioning (batch rows), and the guidance embedding (batch, width) of a network
// that takes one as `timestep_cond`, otherwise nullptr. Returns `out_sample`.
using UNet = std::function<Tensor(const Tensor& sample, float timestep,
                                  const TextConditioning& conditioning, const Tensor* guidance)>;

struct DenoiserSettings {
    std::string prediction;  // "epsilon", "v_prediction" or "sample"
    Guidance guidance;
    Clipping clipping;
    std::optional<double> timestep_scaling;  // of a consistency model's boundary condition
    std::int64_t guidance_width = 0;         // Manifest::guidance_width
};

// Predicts clean latents from noisy ones. In a guided step the negative and the positive half run
// as one batch, the negative first, unless the guidance is split.
class Denoiser {
public:
    // `noise` must outlive the denoiser. Without a negative conditioning no step is guided.
    Denoiser(UNet unet, Steps steps, const TrainingNoise& noise, PromptConditioning conditioning,
             DenoiserSettings settings);

    // Clean latents at noise level `sigma`; x and the result are (images, channels, h/8, w/8).
    Tensor operator()(const Tensor& x, double sigma) const;

private:
    Tensor with_boundary_condition(Tensor denoised, const Tensor& x, double sigma) const;
    Tensor predict(const Tensor& sample, double sigma) const;
    Tensor run(const Tensor& sample, float timestep, const TextConditioning& conditioning) const;

    UNet unet_;
    Steps steps_;
    const TrainingNoise& noise_;
    DenoiserSettings settings_;
    TextConditioning positive_, negative_, both_;
};

// The sinusoidal embedding of a guidance strength, which is the scale minus 1: (images, width)
// (Meng et al. 2022, arXiv 2210.03142).
Tensor guidance_embedding(double strength, std::int64_t width, std::int64_t images);

}  // namespace sdrt
