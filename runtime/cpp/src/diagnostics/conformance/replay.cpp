#include "diagnostics/conformance/replay.hpp"

#include "diagnostics/conformance/golden.hpp"
#include "errors.hpp"
#include "request/sampler_options.hpp"
#include "text/prompt.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>

namespace sdrt {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLeast = 1e-6;  // what smaller golden values count as in a relative difference
constexpr double kPeak = 255;

bool is_decibel(const std::string& measure) { return measure == "sqnr_db" || measure == "psnr_db"; }

// Two arrays of a stage, as numbers.
struct Pair {
    Shape golden_shape, found_shape;
    std::vector<double> golden, found;

    template <class T>
    Pair(const Array<T>& expected, const Array<T>& other)
        : golden_shape(expected.shape),
          found_shape(other.shape),
          golden(expected.values.begin(), expected.values.end()),
          found(other.values.begin(), other.values.end()) {}
};
using Pairs = std::vector<Pair>;

double measured(const std::string& measure, const Pair& pair) {
    if (pair.golden_shape != pair.found_shape) {
        return is_decibel(measure) ? -kInfinity : kInfinity;
    }
    double differing = 0;
    double signal = 0;
    double error = 0;
    double relative = 0;
    for (std::size_t i = 0; i < pair.golden.size(); ++i) {
        const double golden = pair.golden[i];
        const double difference = pair.found[i] - golden;
        differing += difference == 0 ? 0 : 1;
        signal += golden * golden;
        error += difference * difference;
        // The order decides what a difference that is no number counts as: it counts.
        const double one = std::abs(difference) / std::max(std::abs(golden), kLeast);
        relative = one <= relative ? relative : one;
    }
    if (measure == "equal") {
        return differing;
    }
    if (measure == "relative") {
        return relative;
    }
    if (error == 0) {
        return kInfinity;
    }
    const double mean = error / static_cast<double>(pair.golden.size());
    return 10 * std::log10(measure == "sqnr_db" ? signal / error : kPeak * kPeak / mean);
}

std::string formatted(const char* format, double value) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), format, value);
    return text.data();
}

std::string text_of(const std::string& measure, double value, bool is_within) {
    if (measure == "equal") {
        return value == 0 ? "equal" : formatted("%.0f values differ", value);
    }
    if (std::isinf(value)) {
        return is_within ? "equal" : "of another shape";
    }
    if (measure == "relative") {
        return formatted("%.1e relative", value);
    }
    return formatted("%.1f dB ", value) + (measure == "sqnr_db" ? "SQNR" : "PSNR");
}

Tensor row(const Tensor& rows, std::size_t index) {
    Shape shape = rows.shape;
    shape.front() = 1;
    const std::size_t size = count(shape);
    const float* begin = rows.data() + index * size;
    return {shape, {begin, begin + size}};
}

// Rows one after the other.
Tensor joined_rows(const std::vector<Tensor>& rows) {
    Tensor all(Shape{0});
    all.shape = rows.front().shape;
    all.shape.front() = 0;
    for (const Tensor& one : rows) {
        all.shape.front() += one.shape.front();
        all.values.insert(all.values.end(), one.values.begin(), one.values.end());
    }
    return all;
}

// The U-Net's inputs and output in the file.
struct Answer {
    double sigma;
    Tensor sample;
    float timestep;
    Tensor embeddings;
    std::optional<Tensor> guidance;
    Tensor out;
    Tensor denoised;
};

// One case with its arrays, all of them checked before anything runs.
class Replayed {
public:
    Replayed(Pipeline& pipeline, const Case& one, const Arrays& arrays);

    Finding find(const std::string& stage);

private:
    Pairs pairs(const std::string& stage, Job& job);
    Answer answer(const Arrays& arrays, std::int64_t number, double sigma, std::int64_t tokens);
    void walk(Tensor& latents, std::size_t& drawn);
    Tokens tokens(std::size_t side) const;
    Embeddings golden_embeddings() const;

    Pairs of_tokens(bool is_ids);
    Pairs of_embeddings(Job& job);
    Pairs of_noise();
    Pairs of_sigmas();
    Pairs of_unet(Job& job);
    Pairs of_denoised(Job& job);
    Pairs of_latents();
    Pairs of_pixels(Job& job);
    Pairs of_picture(Job& job);

    Pipeline& pipeline_;
    const Case& case_;
    Request request_;
    Steps steps_;
    Shape one_;  // a latent
    std::vector<Ids> ids_;
    std::vector<Tensor> weights_, embeddings_;
    Tensor noise_, denoised_, latents_;
    Array<double> sigmas_, timesteps_;
    Bytes pixels_;
    std::vector<Answer> answers_;
};

Replayed::Replayed(Pipeline& pipeline, const Case& one, const Arrays& arrays)
    : pipeline_(pipeline), case_(one) {
    const Manifest& manifest = pipeline.manifest();
    try {
        request_ = resolve(manifest, one.options);
        check_sampler_options(request_.recipe.sampler, one.sampler_options);
        request_.recipe.options = one.sampler_options;
        steps_ = request_.recipe.steps(pipeline.noise(), request_.num_inference_steps);
    } catch (const UsageError& error) {
        arrays.refuse(std::string("asks for what cannot be: ") + error.what());
    }
    one_ = latent_shape(manifest, request_);
    const auto rows = [this](std::int64_t number) {
        return Shape{number, one_[0], one_[1], one_[2]};
    };
    const std::int64_t length = manifest.text_encoders.front().length;
    std::int64_t chunks = 0;
    for (std::size_t side = 0; side < (request_.is_guided ? 2U : 1U); ++side) {
        const std::string start = side == 0 ? "" : "negative_";
        ids_.push_back(arrays.get<std::int64_t>(start + "ids", {kAny, length}));
        const std::int64_t own = ids_.back().shape.front();
        weights_.push_back(arrays.get<float>(start + "weights", {own, length}));
        chunks = std::max(chunks, own);
        for (const std::int64_t id : ids_.back().values) {
            if (id < 0 || id >= pipeline.tokenizer().vocabulary_size()) {
                arrays.refuse("has ids that the tokenizer does not know");
            }
        }
    }
    const std::int64_t tokens = chunks * length;
    for (std::size_t side = 0; side < ids_.size(); ++side) {
        const std::string start = side == 0 ? "" : "negative_";
        embeddings_.push_back(arrays.get<float>(start + "embeddings", {1, tokens, kAny}));
        if (embeddings_.back().shape != embeddings_.front().shape) {
            arrays.refuse("has embeddings of two widths");
        }
    }
    const std::int64_t steps = request_.num_inference_steps;
    noise_ = arrays.get<float>("noise", rows(kAny));
    sigmas_ = arrays.get<double>("sigmas", {steps + 1});
    timesteps_ = arrays.get<double>("timesteps", {steps});
    denoised_ = arrays.get<float>("denoised", rows(kAny));
    latents_ = arrays.get<float>("latents", rows(steps));
    pixels_ = arrays.get<std::uint8_t>("pixels", {request_.height, request_.width, 3});
    const auto& levels = arrays.get<double>("levels", {denoised_.shape.front()});
    for (const std::int64_t number : one.unet_steps) {
        if (number >= levels.shape.front() || levels.values[static_cast<std::size_t>(number)] <= 0) {
            arrays.refuse("has unet_steps or levels that are not those of its answers");
        }
        answers_.push_back(
            answer(arrays, number, levels.values[static_cast<std::size_t>(number)], tokens));
    }
    if (answers_.empty()) {
        arrays.refuse("has no unet_steps");
    }
}

Answer Replayed::answer(const Arrays& arrays, std::int64_t number, double sigma,
                        std::int64_t tokens) {
    const std::string start = "unet/" + std::to_string(number) + "/";
    const auto batch = static_cast<std::int64_t>(ids_.size());
    const Shape shape{batch, one_[0], one_[1], one_[2]};
    Answer made{sigma,
                arrays.get<float>(start + "sample", shape),
                arrays.get<float>(start + "timestep", {}).values.front(),
                arrays.get<float>(start + "embeddings",
                                  {batch, tokens, embeddings_.front().shape.back()}),
                {},
                arrays.get<float>(start + "out", shape),
                row(denoised_, static_cast<std::size_t>(number))};
    if (const auto width = guidance_width(sdrt::find(pipeline_.manifest().graphs, "unet"))) {
        made.guidance = arrays.get<float>(start + "timestep_cond", {batch, width});
    }
    return made;
}

Finding Replayed::find(const std::string& stage) {
    Cancellation cancellation;
    Job job(cancellation);
    const Pairs found = pairs(stage, job);
    const bool is_reduced =
        std::any_of(job.networks.begin(), job.networks.end(),
                    [](const auto& one) { return one.second.executed != "fp32"; });
    const auto& limits = is_reduced ? case_.reduced_tolerances : case_.tolerances;
    const Tolerance& tolerance = limits.at(stage);
    Finding worst{case_.name, stage, tolerance.measure, 0, tolerance.limit};
    bool is_first = true;
    for (const Pair& pair : found) {
        const double value = measured(tolerance.measure, pair);
        const bool is_worse = is_decibel(tolerance.measure) ? !(value >= worst.found)
                                                            : !(value <= worst.found);
        if (is_first || is_worse) {
            worst.found = value;
        }
        is_first = false;
    }
    return worst;
}

Pairs Replayed::pairs(const std::string& stage, Job& job) {
    if (stage == "ids" || stage == "weights") {
        return of_tokens(stage == "ids");
    }
    if (stage == "embeddings") {
        return of_embeddings(job);
    }
    if (stage == "noise") {
        return of_noise();
    }
    if (stage == "sigmas") {
        return of_sigmas();
    }
    if (stage == "unet") {
        return of_unet(job);
    }
    if (stage == "denoised") {
        return of_denoised(job);
    }
    if (stage == "latents") {
        return of_latents();
    }
    return stage == "pixels" ? of_pixels(job) : of_picture(job);
}

Tokens Replayed::tokens(std::size_t side) const {
    const std::string& text = side == 0 ? request_.prompt : request_.negative_prompt;
    return pipeline_.tokenizer().encode(parse_prompt(text));
}

Pairs Replayed::of_tokens(bool is_ids) {
    Pairs found;
    for (std::size_t side = 0; side < ids_.size(); ++side) {
        const Tokens made = tokens(side);
        if (is_ids) {
            found.emplace_back(ids_[side], made.ids);
        } else {
            found.emplace_back(weights_[side], made.weights);
        }
    }
    return found;
}

Pairs Replayed::of_embeddings(Job& job) {
    const TokensOfAll positive{Tokens{ids_[0], weights_[0]}};
    std::optional<TokensOfAll> negative;
    if (ids_.size() > 1) {
        negative = TokensOfAll{Tokens{ids_[1], weights_[1]}};
    }
    const Embeddings made = pipeline_.encode(positive, negative ? &*negative : nullptr, 1, job);
    Pairs found;
    found.emplace_back(embeddings_[0], made.positive.states);
    if (made.negative) {
        found.emplace_back(embeddings_[1], made.negative->states);
    }
    return found;
}

// Latents after each step from the golden noise and clean latents, and how often noise was drawn.
void Replayed::walk(Tensor& latents, std::size_t& drawn) {
    // The last row once more where a sampler asks for more than there are.
    const auto next = [](const Tensor& rows, std::size_t& index) {
        const auto last = static_cast<std::size_t>(rows.shape.front()) - 1;
        return row(rows, std::min(index++, last));
    };
    std::size_t asked = 0;
    drawn = 0;
    std::vector<Tensor> reached;
    Tensor x = next(noise_, drawn) * std::sqrt(1 + steps_.sigmas[0] * steps_.sigmas[0]);
    request_.recipe.sample([&](const Tensor&, double) { return next(denoised_, asked); },
                           std::move(x), steps_.sigmas, [&] { return next(noise_, drawn); },
                           [&](std::size_t, const Tensor& after, const Tensor&) {
                               reached.push_back(after);
                           });
    latents = joined_rows(reached);
}

Pairs Replayed::of_noise() {
    Tensor latents;
    std::size_t drawn = 0;
    walk(latents, drawn);
    Noise noise(request_.seeds);
    std::vector<Tensor> draws;
    for (std::size_t i = 0; i < drawn; ++i) {
        draws.push_back(noise.draw(one_));
    }
    return {{noise_, joined_rows(draws)}};
}

Pairs Replayed::of_sigmas() {
    const auto array = [](const Doubles& values) {
        return Array<double>({static_cast<std::int64_t>(values.size())}, values);
    };
    return {{sigmas_, array(steps_.sigmas)}, {timesteps_, array(steps_.timesteps)}};
}

Pairs Replayed::of_unet(Job& job) {
    const UNet unet = pipeline_.unet(job);
    Pairs found;
    for (const Answer& one : answers_) {
        found.emplace_back(one.out, unet(one.sample, one.timestep, Text{one.embeddings, {}, {}},
                                         one.guidance ? &*one.guidance : nullptr));
    }
    pipeline_.record("unet", job);
    return found;
}

Embeddings Replayed::golden_embeddings() const {
    Embeddings made{Text{embeddings_[0], {}, {}}, {}};
    if (embeddings_.size() > 1) {
        made.negative = Text{embeddings_[1], {}, {}};
    }
    return made;
}

Pairs Replayed::of_denoised(Job& /*job*/) {
    Pairs found;
    for (const Answer& one : answers_) {
        const UNet given = [&one](const Tensor&, float, const Text&, const Tensor*) {
            return one.out;
        };
        const Denoiser denoise =
            pipeline_.denoiser(given, steps_, request_, golden_embeddings());
        const Tensor x = row(one.sample, 0) * std::sqrt(1 + one.sigma * one.sigma);
        found.emplace_back(one.denoised, denoise(x, one.sigma));
    }
    return found;
}

Pairs Replayed::of_latents() {
    Tensor latents;
    std::size_t drawn = 0;
    walk(latents, drawn);
    return {{latents_, latents}};
}

Bytes bytes_of(const Image& image) {
    return {{image.height, image.width, 3}, image.pixels};
}

Pairs Replayed::of_pixels(Job& job) {
    const auto last = static_cast<std::size_t>(latents_.shape.front()) - 1;
    const double end = steps_.sigmas.back();
    return {{pixels_, bytes_of(pipeline_.decode(row(latents_, last) / std::sqrt(1 + end * end), job))}};
}

Pairs Replayed::of_picture(Job& job) {
    Result result = pipeline_.generate(request_, job.cancellation, {});
    job.networks = std::move(result.parameters.front().networks);
    return {{pixels_, bytes_of(result.images.front())}};
}

}  // namespace

bool Finding::is_within() const { return is_decibel(measure) ? found >= limit : found <= limit; }

std::string Finding::text() const { return text_of(measure, found, is_within()); }

std::string Finding::limit_text() const { return text_of(measure, limit, true); }

bool is_worse(const Finding& one, const Finding& than) {
    if (one.is_within() != than.is_within()) {
        return !one.is_within();
    }
    return is_decibel(one.measure) ? one.found < than.found : one.found > than.found;
}

void replay(Pipeline& pipeline, const std::filesystem::path& golden,
            const std::function<void(const Finding&)>& show) {
    const Manifest& manifest = pipeline.manifest();
    if (manifest.text_encoders.size() > 1 || manifest.takes_pooled()) {
        throw UnsupportedError(sdrt::quoted(manifest.name) +
                               " is a Stable Diffusion XL; golden vectors are of models with one "
                               "text encoder, and without a pooled embedding");
    }
    const auto cases = read_golden(golden, pipeline.artifact());
    std::vector<Replayed> replayed;
    replayed.reserve(cases.size());
    for (const auto& [one, arrays] : cases) {
        replayed.emplace_back(pipeline, one, arrays);
    }
    std::optional<Finding> first_failure;
    for (const std::string& stage : stages()) {
        std::optional<Finding> worst;
        for (Replayed& one : replayed) {
            const Finding found = one.find(stage);
            show(found);
            if (!worst || is_worse(found, *worst)) {
                worst = found;
            }
        }
        if (!first_failure && !worst->is_within()) {
            first_failure = worst;
        }
    }
    if (first_failure) {
        throw ParityError("the first stage that fails is " + first_failure->stage +
                          ", in the case " + sdrt::quoted(first_failure->name) + " of " +
                          golden.string() + ": " + first_failure->text() + ", expected " +
                          first_failure->limit_text() +
                          "; everything before it is right, so look there");
    }
}

}  // namespace sdrt
