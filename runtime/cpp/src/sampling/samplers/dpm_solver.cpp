// An exponential integrator: in lambda = -log sigma the sampling equation is linear except for the
// network's prediction. The linear part is solved exactly, and the prediction is extrapolated by a
// Taylor polynomial whose derivatives are differences of earlier predictions.

#include "sampling/samplers/sampler.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <utility>

namespace sdrt {

namespace {

// In runs with fewer steps the order falls towards the end.
constexpr std::size_t kMinStepsOfFullOrder = 15;

// Integrates a Taylor polynomial of the predictions over one step (weights of arXiv 2206.00927,
// eq. 3.4 to 3.7, with phi_k of -h).
struct ExponentialStep {
    double h;
    double x_factor;
    std::array<double, 3> weights;

    ExponentialStep(double sigma, double next)
        : h(std::log(sigma / next)),
          x_factor(next / sigma),
          weights{} {
        weights[0] = std::expm1(-h);
        weights[1] = weights[0] / -h - 1;
        weights[2] = weights[1] / -h - 0.5;
    }

    // The first-order update; terms of higher order are subtracted from it.
    Tensor first_order(const Tensor& x, const Tensor& prediction) const {
        return x * x_factor - prediction * weights[0];
    }
};

std::size_t usable_order(const MultistepOptions& options, std::size_t index, std::size_t count) {
    if (options.euler_at_final && index == count - 1) {
        return 1;
    }
    const auto order = static_cast<std::size_t>(options.order);
    return options.lower_order_final && count < kMinStepsOfFullOrder
               ? std::min(order, count - index)
               : order;
}

// One step from the current level. Predictions and levels are ordered from the newest.
Tensor advance(const Tensor& x, const std::deque<Tensor>& predictions, const Doubles& levels,
               const ExponentialStep& step, std::size_t order, bool is_midpoint) {
    const Tensor& newest = predictions[0];
    if (order == 1) {
        return step.first_order(x, newest);
    }
    const double r0 = std::log(levels[1] / levels[0]) / step.h;
    const Tensor first = (newest - predictions[1]) * (1 / r0);
    if (order == 2 && is_midpoint) {
        return step.first_order(x, newest + first * 0.5);
    }
    Tensor total = step.first_order(x, newest);
    if (order == 2) {
        total -= first * step.weights[1];
        return total;
    }
    const double r1 = std::log(levels[2] / levels[1]) / step.h;
    const Tensor previous = (predictions[1] - predictions[2]) * (1 / r1);
    const Tensor second = (first - previous) * (1 / (r0 + r1));
    total -= (first + second * r0) * step.weights[1];
    total -= second * 2.0 * step.weights[2];
    return total;
}

}  // namespace

Tensor dpmpp_2m(const SamplerInputs& inputs, Tensor x, const MultistepOptions& options) {
    const auto order_limit = static_cast<std::size_t>(options.order);
    std::deque<Tensor> predictions;
    Doubles levels;
    for (std::size_t index = 0; index < inputs.steps(); ++index) {
        const double sigma = inputs.sigmas[index], next = inputs.sigmas[index + 1];
        predictions.push_front(inputs.denoise(x, sigma));
        levels.insert(levels.begin(), sigma);
        if (predictions.size() > order_limit) {
            predictions.pop_back();
            levels.pop_back();
        }
        if (next == 0.0) {
            x = predictions[0];
        } else {
            const std::size_t order =
                std::min(usable_order(options, index, inputs.steps()), predictions.size());
            x = advance(x, predictions, levels, ExponentialStep(sigma, next), order,
                        options.solver_type == "midpoint");
        }
        inputs.on_step(index, x, predictions[0]);
    }
    return x;
}

}  // namespace sdrt
