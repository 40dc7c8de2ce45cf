// UniPC: a predictor, and a corrector that uses the next step's answer for free.

#include "sampling/samplers/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <utility>

namespace sdrt {

namespace {

// Solves a small square system, rows first, by elimination with the largest pivots.
Doubles solved(std::vector<Doubles> rows, Doubles targets) {
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

// Solves eq. 10; for a single place with the papers' code's choice of one half.
Doubles weights_of(const Doubles& places, double length, double scale) {
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
    return solved(std::move(rows), std::move(targets));
}

// Answers of earlier steps and their levels, the newest first.
struct Past {
    std::deque<Tensor> answers;
    std::deque<double> levels;

    void add(Tensor answer, double level, std::size_t most) {
        answers.push_front(std::move(answer));
        levels.push_front(level);
        if (answers.size() > most) {
            answers.pop_back();
            levels.pop_back();
        }
    }
};

// Steps from the newest level; with the answer where the step arrives it is the corrector.
Tensor unified(const Tensor& x, const Past& past, double following, std::size_t order,
               const Multistep& form, const Tensor* arrived = nullptr) {
    const Tensor& newest = past.answers[0];
    const double level = past.levels[0];
    const double h = std::log(level / following);
    const double length = form.predict_x0 ? -h : h;
    const double grown = std::expm1(length);
    const double scale = form.solver_type == "bh1" ? length : grown;
    const double carried = form.predict_x0 ? following / level : 1.0;
    const double unit = form.predict_x0 ? 1.0 : following;
    // Where the other answers lie, in steps, and how much they differ from the newest.
    Doubles places;
    std::vector<Tensor> slopes;
    for (std::size_t i = 1; i < order; ++i) {
        places.push_back(std::log(level / past.levels[i]) / h);
        slopes.push_back((past.answers[i] - newest) / places.back());
    }
    if (arrived != nullptr) {
        places.push_back(1.0);
        slopes.push_back(*arrived - newest);
    }
    Tensor total = x * carried - newest * (grown * unit);
    const Doubles weights = weights_of(places, length, scale);
    for (std::size_t i = 0; i < weights.size(); ++i) {
        total -= slopes[i] * (scale * weights[i] * unit);
    }
    return total;
}

}  // namespace

Tensor unipc(const Journey& journey, Tensor x, const Multistep& form) {
    const auto most = static_cast<std::size_t>(form.order);
    const std::size_t count = journey.steps();
    Past past;
    Tensor start = x;
    std::size_t used = 0;
    for (std::size_t index = 0; index < count; ++index) {
        const double sigma = journey.sigmas[index], following = journey.sigmas[index + 1];
        Tensor denoised = journey.denoise(x, sigma);
        Tensor answer = form.predict_x0 ? denoised : (x - denoised) / sigma;
        if (used > 0) {
            x = unified(start, past, sigma, used, form, &answer);
        }
        past.add(std::move(answer), sigma, most);
        start = x;
        used = std::min({most, index + 1, form.lower_order_final ? count - index : most});
        x = following == 0.0 ? denoised : unified(start, past, following, used, form);
        journey.watch(index, x, denoised);
    }
    return x;
}

}  // namespace sdrt
