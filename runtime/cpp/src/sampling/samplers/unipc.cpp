// UniPC: a predictor, and a corrector that reuses the next step's prediction at no extra cost.

#include "sampling/samplers/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <utility>

namespace sdrt {

namespace {

// Solves a small linear system, given by rows, by Gaussian elimination with partial pivoting.
Doubles solve(std::vector<Doubles> rows, Doubles targets) {
    const std::size_t size = targets.size();
    for (std::size_t i = 0; i < size; ++i) {
        std::size_t pivot = i;
        for (std::size_t row = i + 1; row < size; ++row) {
            pivot = std::abs(rows[row][i]) > std::abs(rows[pivot][i]) ? row : pivot;
        }
        std::swap(rows[i], rows[pivot]);
        std::swap(targets[i], targets[pivot]);
        for (std::size_t row = i + 1; row < size; ++row) {
            const double factor = rows[row][i] / rows[i][i];
            for (std::size_t column = i; column < size; ++column) {
                rows[row][column] -= factor * rows[i][column];
            }
            targets[row] -= factor * targets[i];
        }
    }
    for (std::size_t i = size; i-- > 0;) {
        for (std::size_t column = i + 1; column < size; ++column) {
            targets[i] -= rows[i][column] * targets[column];
        }
        targets[i] /= rows[i][i];
    }
    return targets;
}

// Solves eq. 10. For a single place the weight is one half, as in the authors' code.
Doubles combination_weights(const Doubles& places, double length, double scale) {
    const std::size_t size = places.size();
    if (size < 2) {
        return Doubles(size, 0.5);
    }
    Doubles targets;
    std::vector<Doubles> rows;
    double phi = std::expm1(length) / length - 1, factorial = 1;
    for (std::size_t k = 1; k <= size; ++k) {
        targets.push_back(phi * factorial / scale);
        factorial *= static_cast<double>(k + 1);
        phi = phi / length - 1 / factorial;
        rows.emplace_back();
        for (const double place : places) {
            rows.back().push_back(std::pow(place, static_cast<double>(k - 1)));
        }
    }
    return solve(std::move(rows), std::move(targets));
}

// The predictions of earlier steps and their levels, the newest first.
struct History {
    std::deque<Tensor> predictions;
    std::deque<double> levels;

    void add(Tensor prediction, double level, std::size_t order_limit) {
        predictions.push_front(std::move(prediction));
        levels.push_front(level);
        if (predictions.size() > order_limit) {
            predictions.pop_back();
            levels.pop_back();
        }
    }
};

// The predictor's step from the newest level; the corrector's, given
// the prediction at the next level.
Tensor unified_step(const Tensor& x, const History& history, double next, std::size_t order,
                    const MultistepOptions& options, const Tensor* next_prediction = nullptr) {
    const Tensor& newest = history.predictions[0];
    const double level = history.levels[0];
    const double h = std::log(level / next);
    const double length = options.predict_x0 ? -h : h;
    const double growth = std::expm1(length);
    const double scale = options.solver_type == "bh1" ? length : growth;
    const double x_factor = options.predict_x0 ? next / level : 1.0;
    const double unit = options.predict_x0 ? 1.0 : next;
    // The places of the other predictions, in steps, and their slopes to the newest.
    Doubles places;
    std::vector<Tensor> slopes;
    for (std::size_t i = 1; i < order; ++i) {
        places.push_back(std::log(level / history.levels[i]) / h);
        slopes.push_back((history.predictions[i] - newest) / places.back());
    }
    if (next_prediction != nullptr) {
        places.push_back(1.0);
        slopes.push_back(*next_prediction - newest);
    }
    Tensor total = x * x_factor - newest * (growth * unit);
    const Doubles weights = combination_weights(places, length, scale);
    for (std::size_t i = 0; i < weights.size(); ++i) {
        total -= slopes[i] * (scale * weights[i] * unit);
    }
    return total;
}

}  // namespace

Tensor unipc(const SamplerInputs& inputs, Tensor x, const MultistepOptions& options) {
    const auto order_limit = static_cast<std::size_t>(options.order);
    const std::size_t count = inputs.steps();
    History history;
    Tensor start = x;
    std::size_t used = 0;
    for (std::size_t index = 0; index < count; ++index) {
        const double sigma = inputs.sigmas[index], next = inputs.sigmas[index + 1];
        Tensor denoised = inputs.denoise(x, sigma);
        Tensor prediction = options.predict_x0 ? denoised : (x - denoised) / sigma;
        if (used > 0) {
            x = unified_step(start, history, sigma, used, options, &prediction);
        }
        history.add(std::move(prediction), sigma, order_limit);
        start = x;
        used = std::min(
            {order_limit, index + 1, options.lower_order_final ? count - index : order_limit});
        x = next == 0.0 ? denoised : unified_step(start, history, next, used, options);
        inputs.on_step(index, x, denoised);
    }
    return x;
}

}  // namespace sdrt
