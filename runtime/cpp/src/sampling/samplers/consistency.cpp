#include "sampling/samplers/sampler.hpp"

#include <utility>

namespace sdrt {

Tensor lcm(const SamplerInputs& inputs, Tensor x) {
    for (std::size_t index = 0; index < inputs.steps(); ++index) {
        const Tensor denoised = inputs.denoise(x, inputs.sigmas[index]);
        x = denoised;
        if (index + 1 < inputs.steps()) {
            x = std::move(x) + inputs.draw() * inputs.sigmas[index + 1];
        }
        inputs.on_step(index, x, denoised);
    }
    return x;
}

}  // namespace sdrt
