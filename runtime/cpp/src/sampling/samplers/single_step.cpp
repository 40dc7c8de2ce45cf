#include "sampling/samplers/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sdrt {
namespace {

// The level to step down to and the level of the noise to add, which together make `next`.
std::pair<double, double> split_levels(double sigma, double next, double eta) {
    const double ratio = next / sigma;
    const double up = eta * next * std::sqrt(std::max(0.0, 1 - ratio * ratio));
    return {std::sqrt(std::max(0.0, next * next - up * up)), up};
}

}  // namespace

Tensor euler(const SamplerInputs& inputs, Tensor x, double eta) {
    for (std::size_t index = 0; index < inputs.steps(); ++index) {
        const double sigma = inputs.sigmas[index], next = inputs.sigmas[index + 1];
        const Tensor denoised = inputs.denoise(x, sigma);
        const auto [down, up] = split_levels(sigma, next, eta);
        x = denoised + (std::move(x) - denoised) * (down / sigma);
        if (up != 0.0) {
            x = std::move(x) + inputs.draw() * up;
        }
        inputs.on_step(index, x, denoised);
    }
    return x;
}

}  // namespace sdrt
