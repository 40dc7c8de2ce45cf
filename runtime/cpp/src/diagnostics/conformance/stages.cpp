#include "diagnostics/conformance/stages.hpp"

#include "generation/unet_inputs.hpp"
#include "sampling/noise.hpp"
#include "text/prompt.hpp"

#include <algorithm>
#include <utility>

namespace sdrt {
namespace {

Tensor joined_rows(const std::vector<Tensor>& rows) {
    Tensor joined(Shape{0});
    joined.shape = rows.front().shape;
    joined.shape.front() = 0;
    for (const Tensor& part : rows) {
        joined.shape.front() += part.shape.front();
        joined.values.insert(joined.values.end(), part.values.begin(), part.values.end());
    }
    return joined;
}

// Returns one row after the other, then the last one again and again.
class Rows {
public:
    explicit Rows(const Tensor& rows) : rows_(rows) {}

    Tensor next() {
        const auto last = static_cast<std::size_t>(rows_.shape.front()) - 1;
        return row(rows_, std::min(count_++, last));
    }
    std::size_t count() const { return count_; }

private:
    const Tensor& rows_;
    std::size_t count_ = 0;
};

}  // namespace

Tensor row(const Tensor& rows, std::size_t index) {
    Shape shape = rows.shape;
    shape.front() = 1;
    const std::size_t size = count(shape);
    const float* begin = rows.data() + index * size;
    return {shape, {begin, begin + size}};
}

Stages::Stages(Pipeline& pipeline, Request request)
    : pipeline_(pipeline),
      request_(std::move(request)),
      steps_(request_.sampler_settings.steps(pipeline.noise(), request_.num_inference_steps)),
      shape_(latent_shape(pipeline.manifest(), request_)) {}

std::vector<Tokens> Stages::tokens() const {
    const Tokenizer& tokenizer = pipeline_.text_encoders().tokenizer();
    std::vector<Tokens> tokens{tokenizer.encode(parse_prompt(request_.prompt))};
    if (request_.is_guided) {
        tokens.push_back(tokenizer.encode(parse_prompt(request_.negative_prompt)));
    }
    return tokens;
}

std::vector<Tensor> Stages::encode(const std::vector<Tokens>& tokens, RunState& state) const {
    const EncoderTokens positive{tokens.front()};
    std::optional<EncoderTokens> negative;
    if (tokens.size() > 1) {
        negative = EncoderTokens{tokens.back()};
    }
    const PromptConditioning conditioning =
        pipeline_.text_encoders().encode(positive, negative ? &*negative : nullptr, 1, state);
    std::vector<Tensor> embeddings{conditioning.positive.states};
    if (conditioning.negative) {
        embeddings.push_back(conditioning.negative->states);
    }
    return embeddings;
}

Tensor Stages::noise(std::size_t draws) const {
    Noise noise(request_.seeds);
    std::vector<Tensor> rows;
    for (std::size_t i = 0; i < draws; ++i) {
        rows.push_back(noise.draw(shape_));
    }
    return joined_rows(rows);
}

SampledPath Stages::sample(const Tensor& noise, const Tensor& denoised) const {
    Rows noise_rows(noise), denoised_rows(denoised);
    std::vector<Tensor> path;
    Tensor x = noise_rows.next() * variance_scale(steps_.sigmas.front());
    request_.sampler_settings.sample(
        [&](const Tensor&, double) { return denoised_rows.next(); }, std::move(x), steps_.sigmas,
        [&] { return noise_rows.next(); },
        [&](std::size_t, const Tensor& latents, const Tensor&) { path.push_back(latents); });
    return {joined_rows(path), noise_rows.count()};
}

Tensor Stages::run_unet(const UNetCall& call, RunState& state) const {
    Tensor out = open_unet(pipeline_, state)(call.sample, call.timestep, {call.embeddings, {}, {}},
                                             call.guidance ? &*call.guidance : nullptr);
    state.record(pipeline_.networks().loaded_graph("unet"));
    return out;
}

Tensor Stages::denoise(const UNetCall& call, const std::vector<Tensor>& embeddings) const {
    const UNet recorded = [&call](const Tensor&, float, const TextConditioning&, const Tensor*) {
        return call.out;
    };
    PromptConditioning conditioning{{embeddings.front(), {}, {}}, {}};
    if (embeddings.size() > 1) {
        conditioning.negative = TextConditioning{embeddings.back(), {}, {}};
    }
    const Denoiser denoise =
        make_denoiser(pipeline_, recorded, steps_, request_, std::move(conditioning));
    return denoise(row(call.sample, 0) * variance_scale(call.sigma), call.sigma);
}

Image Stages::decode(const Tensor& latents, RunState& state) const {
    return pipeline_.autoencoder().decode(latents / variance_scale(steps_.sigmas.back()), state);
}

Image Stages::picture(RunState& state) const {
    Result result = pipeline_.generate(request_, state.cancellation, {});
    state.networks = std::move(result.parameters.front().networks);
    return std::move(result.images.front());
}

}  // namespace sdrt
