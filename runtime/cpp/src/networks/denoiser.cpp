#include "networks/denoiser.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace sdrt {
namespace {

// Removes the second half of a batch and returns it.
Tensor split_off_half(Tensor& batch) {
    batch.shape.at(0) /= 2;
    const auto middle = batch.values.begin() + static_cast<std::ptrdiff_t>(batch.size() / 2);
    Tensor second(batch.shape, std::vector<float>(middle, batch.values.end()));
    batch.values.erase(middle, batch.values.end());
    return second;
}

}  // namespace

Denoiser::Denoiser(UNet unet, Steps steps, const TrainingNoise& noise,
                   PromptConditioning conditioning, DenoiserSettings settings)
    : unet_(std::move(unet)),
      steps_(std::move(steps)),
      noise_(noise),
      settings_(std::move(settings)),
      positive_(std::move(conditioning.positive)) {
    if (!conditioning.negative) {
        return;
    }
    if (settings_.guidance.is_split) {
        negative_ = std::move(*conditioning.negative);
    } else {
        both_ = stacked(*conditioning.negative, positive_);
    }
}

Tensor Denoiser::operator()(const Tensor& x, double sigma) const {
    const double scale = 1 / std::sqrt(1 + sigma * sigma);  // to the variance of training
    Tensor denoised = predict(x * scale, sigma);
    if (settings_.prediction == "epsilon") {
        denoised = x - denoised * sigma;
    } else if (settings_.prediction == "v_prediction") {
        // Salimans and Ho 2022, arXiv 2202.00512, app. D
        denoised = x * (scale * scale) - denoised * (sigma * scale);
    }
    denoised = settings_.clipping.apply(std::move(denoised));
    return settings_.timestep_scaling ? with_boundary_condition(std::move(denoised), x, sigma)
                                      : denoised;
}

// Enforces the boundary condition f(x, 0) = x (Song et al. 2023, arXiv 2303.01469, eq. 5).
Tensor Denoiser::with_boundary_condition(Tensor denoised, const Tensor& x, double sigma) const {
    const double variance = 0.5 * 0.5;  // of the data, as assumed in distillation
    const double time = timestep_of(steps_, noise_, sigma) * *settings_.timestep_scaling;
    const double skip = variance / (time * time + variance);
    const double out = time / std::sqrt(time * time + variance);
    return std::move(denoised) * out + x * (skip / std::sqrt(1 + sigma * sigma));
}

Tensor Denoiser::predict(const Tensor& sample, double sigma) const {
    const auto timestep = static_cast<float>(timestep_of(steps_, noise_, sigma));
    const Guidance& guidance = settings_.guidance;
    const bool has_negative = negative_.states.size() > 0 || both_.states.size() > 0;
    if (!has_negative || !guidance.covers(steps_.progress(sigma))) {
        return run(sample, timestep, positive_);
    }
    if (guidance.is_split) {
        const Tensor negative = run(sample, timestep, negative_);
        return guidance.combine(negative, run(sample, timestep, positive_));
    }
    Tensor negative = run(stacked(sample, sample), timestep, both_);
    const Tensor positive = split_off_half(negative);
    return guidance.combine(negative, positive);
}

Tensor Denoiser::run(const Tensor& sample, float timestep,
                     const TextConditioning& conditioning) const {
    if (settings_.guidance_width == 0) {
        return unet_(sample, timestep, conditioning, nullptr);
    }
    const Tensor embedding = guidance_embedding(settings_.guidance.scale - 1,
                                                settings_.guidance_width, sample.shape.at(0));
    return unet_(sample, timestep, conditioning, &embedding);
}

Tensor guidance_embedding(double strength, std::int64_t width, std::int64_t images) {
    Tensor rows({images, width});
    const std::int64_t half = width / 2;
    const double slope =
        -std::log(10'000.0) / static_cast<double>(std::max<std::int64_t>(half - 1, 1));
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
