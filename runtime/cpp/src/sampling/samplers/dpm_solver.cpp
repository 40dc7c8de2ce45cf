// An exponential integrator: in lambda = -log sigma the equation of sampling is linear but for the
// network's answer. The linear part is solved exactly, and the answer extrapolated by a Taylor
// polynomial whose derivatives are differences of earlier answers.

#include "sampling/samplers/sampler.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <utility>

namespace sdrt {

namespace {

constexpr std::size_t kFew = 15;  // steps of a run, below which the order falls towards its end

// Integrates a Taylor polynomial of the answers over one step (weights of arXiv 2206.00927, eq. 3.4 to
// 3.7, with phi_k of -h).
struct ExponentialStep {
    double h;
    double carried;
    std::array<double, 3> weights;

    ExponentialStep(double sigma, double following)
        : h(std::log(sigma / following)), carried(following / sigma), weights{} {
        weights[0] = std::expm1(-h);
        weights[1] = weights[0] / -h - 1;
        weights[2] = weights[1] / -h - 0.5;
    }

    // The first term; the others are subtracted from it.
    Tensor begin(const Tensor& x, const Tensor& answer) const {
        return x * carried - answer * weights[0];
    }
};

std::size_t usable_order(const Multistep& form, std::size_t index, std::size_t count) {
    if (form.euler_at_final && index == count - 1) {
        return 1;
    }
    const auto order = static_cast<std::size_t>(form.order);
    return form.lower_order_final && count < kFew ? std::min(order, count - index) : order;
}

// One update from the newest level; answers and levels the newest first.
Tensor advance(const Tensor& x, const std::deque<Tensor>& answers, const Doubles& levels,
               const ExponentialStep& step, std::size_t order, bool is_midpoint) {
    const Tensor& newest = answers[0];
    if (order == 1) {
        return step.begin(x, newest);
    }
    const double r0 = std::log(levels[1] / levels[0]) / step.h;
    const Tensor first = (newest - answers[1]) * (1 / r0);
    if (order == 2 && is_midpoint) {
        return step.begin(x, newest + first * 0.5);
    }
    Tensor total = step.begin(x, newest);
    if (order == 2) {
        total -= first * step.weights[1];
        return total;
    }
    const double r1 = std::log(levels[2] / levels[1]) / step.h;
    const Tensor earlier = (answers[1] - answers[2]) * (1 / r1);
    const Tensor bend = (first - earlier) * (1 / (r0 + r1));
    total -= (first + bend * r0) * step.weights[1];
    total -= bend * 2.0 * step.weights[2];
    return total;
}

}  // namespace

Tensor dpmpp_2m(const Journey& journey, Tensor x, const Multistep& form) {
    const auto most = static_cast<std::size_t>(form.order);
    std::deque<Tensor> answers;
    Doubles levels;
    for (std::size_t index = 0; index < journey.steps(); ++index) {
        const double sigma = journey.sigmas[index], following = journey.sigmas[index + 1];
        answers.push_front(journey.denoise(x, sigma));
        levels.insert(levels.begin(), sigma);
        if (answers.size() > most) {
            answers.pop_back();
            levels.pop_back();
        }
        if (following == 0.0) {
            x = answers[0];
        } else {
            const std::size_t order =
                std::min(usable_order(form, index, journey.steps()), answers.size());
            x = advance(x, answers, levels, ExponentialStep(sigma, following), order,
                        form.solver_type == "midpoint");
        }
        journey.watch(index, x, answers[0]);
    }
    return x;
}

}  // namespace sdrt
