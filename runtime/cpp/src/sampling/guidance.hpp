// Classifier-free guidance, and the clipping of the clean latents that it exaggerates.
#pragma once

#include "arrays.hpp"
#include "manifest.hpp"

namespace sdrt {

// Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598, eq. 6); Python's
// guidance.py explains the fields.
struct Guidance {
    double scale = 1.0;     // 1 and less mean no guidance
    double rescale = 0.0;   // 0 to 1: how far the deviation returns to that without guidance
    double start = 0.0;     // steps are guided from this share of the run
    double end = 1.0;       // to this share
    bool is_split = false;  // whether both predictions run one after the other

    // Whether the step after this share of the run is guided.
    bool covers(double progress) const { return scale > 1 && start <= progress && progress < end; }
    // The guided prediction from two, all of them (images, channels, height, width).
    Tensor combine(const Tensor& negative, const Tensor& positive) const;
};

// What limits clean latents of large magnitude, as strong guidance produces them.
struct Clipping {
    double limit = 0.0;  // clip to this magnitude; 0 means no limit
    double share = 0.0;  // dynamic thresholding (Saharia et al. 2022, arXiv 2205.11487); 0: none
    double most = 1.0;   // largest magnitude that thresholding leaves

    // Reads the sampler options `clip`, `thresholding` and `thresholding_max`.
    static Clipping from_options(const Named<Option>& options);
    // Clips clean latents (images, channels, height, width).
    Tensor apply(Tensor denoised) const;
};

}  // namespace sdrt
