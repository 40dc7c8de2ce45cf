// Samplers: from noise to an image's latents, in the form x = x0 + sigma * noise.
//
// A sampler calls `denoise(x, sigma)` for the clean latents to aim at, and `on_step` after each
// step. It knows no network, prompt, guidance or timestep. Samplers that add noise take it from
// `draw()`. The arithmetic and the defaults are those of Python's samplers.
#pragma once

#include "arrays.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace sdrt {

using Denoise = std::function<Tensor(const Tensor& x, double sigma)>;
using Draw = std::function<Tensor()>;
// Gets `x` after step `index` (from 0), and the clean latents at which the step
// aimed. An exception ends the run.
using OnStep = std::function<void(std::size_t index, const Tensor& x, const Tensor& denoised)>;

// The inputs of every sampler besides the first `x`, which has the noise level `sigmas[0]`.
struct SamplerInputs {
    const Denoise& denoise;
    const Doubles& sigmas;
    const Draw& draw;
    const OnStep& on_step;

    std::size_t steps() const { return sigmas.size() - 1; }
};

// Keeps the predicted noise and lowers its level: Euler's method and DDIM, which are the same
// in this form. `eta` is the share of the noise that is replaced by new noise (Song et al.
// 2020, arXiv 2010.02502, eq. 16).
Tensor euler(const SamplerInputs& inputs, Tensor x, double eta);

// Jumps to the clean latents, then adds new noise up to the next level (Song et al. 2023, arXiv
// 2303.01469, algorithm 1; Luo et al. 2023, arXiv 2310.04378, algorithm 3).
Tensor lcm(const SamplerInputs& inputs, Tensor x);

// Options of the two samplers that use the predictions of earlier steps.
struct MultistepOptions {
    std::int64_t order = 2;
    std::string solver_type;
    bool lower_order_final = true;
    bool euler_at_final = false;  // only dpm++2m
    bool predict_x0 = true;       // only unipc
};

// DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, algorithm 2);
// order 3 uses a second derivative.
Tensor dpmpp_2m(const SamplerInputs& inputs, Tensor x, const MultistepOptions& options);

// UniPC (Zhao et al. 2023, arXiv 2302.04867, algorithms 5 to 8).
Tensor unipc(const SamplerInputs& inputs, Tensor x, const MultistepOptions& options);

}  // namespace sdrt
