// U-Net + guidance + kind of prediction -> `denoise(x, sigma)`, all that a sampler ever calls.
#pragma once

#include "arrays.hpp"
#include "manifest.hpp"
#include "sampling/sampler_settings.hpp"
#include "sampling/schedule.hpp"
#include "text/conditioning.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace sdrt {

// Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598, eq. 6); see Python's denoiser.py.
struct Guidance {
    double scale = 1.0;    // up to 1: none
    double rescale = 0.0;  // share that gets the deviation back which it has without guidance
    double start = 0.0;    // guided are steps from this share of the run
    double end = 1.0;      // to this
    bool is_split = false; // whether the halves run one after the other

    // Whether a step is guided, after that share of the run.
    bool covers(double progress) const { return scale > 1 && start <= progress && progress < end; }
    // The guided answer; (images, channels, height, width).
    Tensor combine(const Tensor& negative, const Tensor& positive) const;
};

// What happens to clean latents of great magnitude, as strong guidance makes them.
struct Clipping {
    double limit = 0.0;  // clip to this magnitude; 0: do not
    double share = 0.0;  // dynamic thresholding (Saharia et al. 2022, arXiv 2205.11487); 0: do not
    double most = 1.0;   // largest magnitude that it leaves

    // From the options of a recipe.
    static Clipping of(const Named<Option>& options);
    // Clips clean latents (images, channels, height, width).
    Tensor apply(Tensor denoised) const;
};

// Runs the U-Net once: noisy latents scaled to variance one (batch, channels, h/8, w/8), the timestep,
// what it is told of the prompt (batch rows), and the guidance embedding (batch, width) of networks
// that take one as `timestep_cond`, else nullptr. Gives `out_sample`.
using UNet = std::function<Tensor(const Tensor& sample, float timestep, const Text& text,
                                  const Tensor* guidance)>;

// Predicts clean latents from noisy ones. In guided steps the negative and the positive half run as
// one batch, negative first, unless guidance says otherwise.
class Denoiser {
public:
    // `noise` has to outlive it. `negative` is nothing where no step is guided.
    // `guidance_width`: of a U-Net that takes a guidance embedding; see `guidance_width` below.
    Denoiser(UNet unet, Steps steps, const TrainingNoise& noise, std::string prediction,
             Text positive, std::optional<Text> negative, Guidance guidance = {},
             Clipping clipping = {}, std::optional<double> timestep_scaling = {},
             std::int64_t guidance_width = 0);

    // Clean latents at noise level `sigma`; x and the result: (images, channels, h/8, w/8).
    Tensor operator()(const Tensor& x, double sigma) const;

private:
    Tensor bounded(Tensor denoised, const Tensor& x, double sigma) const;
    Tensor output(const Tensor& sample, double sigma) const;
    Tensor run(const Tensor& sample, float timestep, const Text& text) const;

    UNet unet_;
    Steps steps_;
    const TrainingNoise& noise_;
    std::string prediction_;
    Text positive_, negative_, both_;
    Guidance guidance_;
    Clipping clipping_;
    std::optional<double> timestep_scaling_;
    std::int64_t guidance_width_;
};

// Width of the guidance embedding that a U-Net takes; 0 if it takes none, or is missing.
std::int64_t guidance_width(const GraphSpec* unet);

// Guidance above 1 as waves, like a timestep: (images, width) (Meng et al. 2022, arXiv 2210.03142).
Tensor guidance_embedding(double strength, std::int64_t width, std::int64_t images);

}  // namespace sdrt
