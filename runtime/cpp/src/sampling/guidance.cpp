#include "sampling/guidance.hpp"

#include "sampling/option_values.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sdrt {
namespace {

// The number of values of each image.
std::size_t image_size(const Tensor& images) {
    return images.size() / static_cast<std::size_t>(std::max<std::int64_t>(images.shape.at(0), 1));
}

double deviation(const float* values, std::size_t size) {
    double total = 0.0;
    for (std::size_t i = 0; i < size; ++i) {
        total += values[i];
    }
    const double mean = total / static_cast<double>(size);
    double squares = 0.0;
    for (std::size_t i = 0; i < size; ++i) {
        squares += (values[i] - mean) * (values[i] - mean);
    }
    return std::sqrt(squares / static_cast<double>(size));
}

// The quantile of the magnitudes, in float32 and with the linear interpolation of numpy.quantile.
float magnitude_quantile(const float* values, std::size_t size, double share) {
    std::vector<float> sorted(size);
    std::transform(values, values + size, sorted.begin(), [](float v) { return std::abs(v); });
    std::sort(sorted.begin(), sorted.end());
    const float place = static_cast<float>(size - 1) * static_cast<float>(share);
    const std::size_t below = std::min(static_cast<std::size_t>(place), size - 1);
    const std::size_t above = std::min(below + 1, size - 1);
    const float rest = place - std::floor(place);
    const float gap = sorted[above] - sorted[below];
    return rest < 0.5F ? sorted[below] + gap * rest : sorted[above] - gap * (1.0F - rest);
}

}  // namespace

Tensor Guidance::combine(const Tensor& negative, const Tensor& positive) const {
    Tensor guided = negative + (positive - negative) * scale;
    if (rescale == 0.0) {
        return guided;
    }
    const std::size_t size = image_size(guided);
    for (std::size_t first = 0; first < guided.size(); first += size) {
        const auto before = static_cast<float>(deviation(positive.data() + first, size));
        const auto after = static_cast<float>(deviation(guided.data() + first, size));
        const float factor =
            before / after * static_cast<float>(rescale) + static_cast<float>(1 - rescale);
        for (std::size_t i = first; i < first + size; ++i) {
            guided.values[i] *= factor;
        }
    }
    return guided;
}

Clipping Clipping::from_options(const Named<Option>& options) {
    return {number(options, "clip", 0.0), number(options, "thresholding", 0.0),
            number(options, "thresholding_max", 1.0)};
}

Tensor Clipping::apply(Tensor denoised) const {
    if (share == 0.0 && limit == 0.0) {
        return denoised;
    }
    const std::size_t size = image_size(denoised);
    for (std::size_t start = 0; start < denoised.size(); start += size) {
        float* values = denoised.data() + start;
        auto bound = static_cast<float>(limit);
        float divisor = 1.0F;
        if (share != 0.0) {
            bound =
                std::clamp(magnitude_quantile(values, size, share), 1.0F, static_cast<float>(most));
            divisor = bound;
        }
        std::transform(values, values + size, values,
                       [&](float value) { return std::clamp(value, -bound, bound) / divisor; });
    }
    return denoised;
}

}  // namespace sdrt
