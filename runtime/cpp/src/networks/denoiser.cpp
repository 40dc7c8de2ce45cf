#include "networks/denoiser.hpp"

#include "errors.hpp"
#include "sampling/option_values.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sdrt {

namespace {

// How many values one of the images has.
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

// The magnitude that a share of the values stays below; in float32 as numpy.quantile, with its way of
// reading between two values.
float magnitude(const float* values, std::size_t size, double share) {
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

// The second of two halves of a batch; the first stays in `both`.
Tensor split_off(Tensor& both) {
    both.shape.at(0) /= 2;
    const auto middle = both.values.begin() + static_cast<std::ptrdiff_t>(both.size() / 2);
    Tensor second(both.shape, std::vector<float>(middle, both.values.end()));
    both.values.erase(middle, both.values.end());
    return second;
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

Clipping Clipping::of(const Named<Option>& options) {
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
            bound = std::clamp(magnitude(values, size, share), 1.0F, static_cast<float>(most));
            divisor = bound;
        }
        std::transform(values, values + size, values, [&](float value) {
            return std::clamp(value, -bound, bound) / divisor;
        });
    }
    return denoised;
}

Denoiser::Denoiser(UNet unet, Steps steps, const TrainingNoise& noise, std::string prediction,
                   Text positive, std::optional<Text> negative, Guidance guidance,
                   Clipping clipping, std::optional<double> timestep_scaling,
                   std::int64_t guidance_width)
    : unet_(std::move(unet)),
      steps_(std::move(steps)),
      noise_(noise),
      prediction_(std::move(prediction)),
      positive_(std::move(positive)),
      guidance_(guidance),
      clipping_(clipping),
      timestep_scaling_(timestep_scaling),
      guidance_width_(guidance_width) {
    if (!negative) {
        return;
    }
    if (guidance_.is_split) {
        negative_ = std::move(*negative);
    } else {
        both_ = stacked(*negative, positive_);
    }
}

Tensor Denoiser::operator()(const Tensor& x, double sigma) const {
    const double scale = 1 / std::sqrt(1 + sigma * sigma);  // to the variance of training
    Tensor denoised = output(x * scale, sigma);
    if (prediction_ == "epsilon") {
        denoised = x - denoised * sigma;
    } else if (prediction_ == "v_prediction") {  // Salimans and Ho 2022, arXiv 2202.00512, app. D
        denoised = x * (scale * scale) - denoised * (sigma * scale);
    }
    denoised = clipping_.apply(std::move(denoised));
    return timestep_scaling_ ? bounded(std::move(denoised), x, sigma) : denoised;
}

// Holds the boundary condition f(x, 0) = x (Song et al. 2023, arXiv 2303.01469, eq. 5).
Tensor Denoiser::bounded(Tensor denoised, const Tensor& x, double sigma) const {
    const double variance = 0.5 * 0.5;  // of the data, as assumed in distillation
    const double time = timestep_of(steps_, noise_, sigma) * *timestep_scaling_;
    const double skip = variance / (time * time + variance);
    const double out = time / std::sqrt(time * time + variance);
    return std::move(denoised) * out + x * (skip / std::sqrt(1 + sigma * sigma));
}

Tensor Denoiser::output(const Tensor& sample, double sigma) const {
    const auto timestep = static_cast<float>(timestep_of(steps_, noise_, sigma));
    const bool has_negative = negative_.states.size() > 0 || both_.states.size() > 0;
    if (!has_negative || !guidance_.covers(steps_.progress(sigma))) {
        return run(sample, timestep, positive_);
    }
    if (guidance_.is_split) {
        const Tensor negative = run(sample, timestep, negative_);
        return guidance_.combine(negative, run(sample, timestep, positive_));
    }
    Tensor negative = run(stacked(sample, sample), timestep, both_);
    const Tensor positive = split_off(negative);
    return guidance_.combine(negative, positive);
}

Tensor Denoiser::run(const Tensor& sample, float timestep, const Text& text) const {
    if (guidance_width_ == 0) {
        return unet_(sample, timestep, text, nullptr);
    }
    const Tensor strength =
        guidance_embedding(guidance_.scale - 1, guidance_width_, sample.shape.at(0));
    return unet_(sample, timestep, text, &strength);
}

std::int64_t guidance_width(const GraphSpec* unet) {
    if (unet == nullptr) {
        return 0;
    }
    for (const TensorSpec& input : unet->inputs) {
        if (input.name != "timestep_cond") {
            continue;
        }
        const auto* width =
            input.shape.size() == 2 ? std::get_if<std::int64_t>(&input.shape[1]) : nullptr;
        if (width == nullptr) {
            throw ArtifactError(
                "input timestep_cond of unet has no known width; export the model again");
        }
        return *width;
    }
    return 0;
}

Tensor guidance_embedding(double strength, std::int64_t width, std::int64_t images) {
    Tensor rows({images, width});
    const std::int64_t half = width / 2;
    const double slope = -std::log(10'000.0) / static_cast<double>(std::max<std::int64_t>(half - 1, 1));
    for (std::int64_t i = 0; i < half; ++i) {
        const double angle = strength * 1000 * std::exp(static_cast<double>(i) * slope);
        for (std::int64_t image = 0; image < images; ++image) {
            float* row = rows.data() + image * width;
            row[i] = static_cast<float>(std::sin(angle));
            row[half + i] = static_cast<float>(std::cos(angle));
        }
    }
    return rows;
}

}  // namespace sdrt
