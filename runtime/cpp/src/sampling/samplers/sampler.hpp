// The methods behind the samplers' names, each a loop from x at the first level to the last one.
#pragma once

#include "sampling/sampler_settings.hpp"

#include <string>

namespace sdrt {

// What every method is given.
struct Journey {
    const Denoise& denoise;
    const Doubles& sigmas;
    const Draw& draw;
    const Watch& watch;

    std::size_t steps() const { return sigmas.size() - 1; }
};

// Keeps the predicted noise and lowers its level: Euler's method and DDIM, which are the same in this
// form. `eta` replaces that share of the noise by new noise (Song et al. 2020, arXiv 2010.02502, eq.
// 16).
Tensor euler(const Journey& journey, Tensor x, double eta);

// Jumps to the clean latents, and back up with new noise to the next level (Song et al. 2023, arXiv
// 2303.01469, algorithm 1; Luo et al. 2023, arXiv 2310.04378, algorithm 3).
Tensor lcm(const Journey& journey, Tensor x);

// Of the two methods that remember answers of earlier steps.
struct Multistep {
    std::int64_t order = 2;
    std::string solver_type;
    bool lower_order_final = true;
    bool euler_at_final = false;  // of dpm++2m
    bool predict_x0 = true;       // of unipc
};

// DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, algorithm 2); order 3 takes a second derivative.
Tensor dpmpp_2m(const Journey& journey, Tensor x, const Multistep& form);

// UniPC (Zhao et al. 2023, arXiv 2302.04867, algorithms 5 to 8).
Tensor unipc(const Journey& journey, Tensor x, const Multistep& form);

}  // namespace sdrt
