#include "diagnostics/conformance/replay.hpp"

#include "diagnostics/conformance/golden.hpp"
#include "diagnostics/conformance/stages.hpp"
#include "errors.hpp"
#include "request/resolve.hpp"
#include "request/sampler_options.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace sdrt {
namespace {

Bytes bytes_of(const Image& image) { return {{image.height, image.width, 3}, image.pixels}; }

Array<double> array_of(const Doubles& values) {
    return {{static_cast<std::int64_t>(values.size())}, values};
}

// The stages of a case. A case with impossible options is an ArtifactError.
Stages open_stages(Pipeline& pipeline, const GoldenCase& golden, const GoldenArrays& arrays) {
    try {
        Request request = resolve(pipeline.manifest(), golden.options);
        check_sampler_options(request.sampler_settings.sampler, golden.sampler_options);
        request.sampler_settings.options = golden.sampler_options;
        return {pipeline, std::move(request)};
    } catch (const UsageError& error) {
        arrays.refuse(std::string("asks for what cannot be: ") + error.what());
    }
}

// A case with its arrays, all of which are checked before anything runs.
class ReplayedCase {
public:
    ReplayedCase(Pipeline& pipeline, const GoldenCase& golden, const GoldenArrays& arrays);

    Finding replay(const std::string& stage);

private:
    void read_prompts(const GoldenArrays& arrays);
    void read_sampling(const GoldenArrays& arrays);
    void read_unet_calls(const GoldenArrays& arrays);
    UNetCall read_unet_call(const GoldenArrays& arrays, std::int64_t number, double sigma) const;

    ArrayPairs pairs(const std::string& stage, RunState& state);
    ArrayPairs token_pairs(bool are_ids) const;
    ArrayPairs embedding_pairs(RunState& state) const;
    ArrayPairs unet_pairs(RunState& state) const;
    ArrayPairs denoised_pairs() const;

    Pipeline& pipeline_;
    const GoldenCase& case_;
    Stages stages_;
    std::vector<Tokens> tokens_;  // of the prompt, and of the negative prompt if it is guided
    std::vector<Tensor> embeddings_;
    Tensor noise_, denoised_, latents_;
    Array<double> sigmas_, timesteps_;
    Bytes pixels_;
    std::vector<UNetCall> unet_calls_;
};

ReplayedCase::ReplayedCase(Pipeline& pipeline, const GoldenCase& golden, const GoldenArrays& arrays)
    : pipeline_(pipeline),
      case_(golden),
      stages_(open_stages(pipeline, golden, arrays)) {
    read_prompts(arrays);
    read_sampling(arrays);
    read_unet_calls(arrays);
}

void ReplayedCase::read_prompts(const GoldenArrays& arrays) {
    const std::int64_t length = pipeline_.manifest().text_encoders.front().length;
    const std::int64_t vocabulary = pipeline_.text_encoders().tokenizer().vocabulary_size();
    const std::vector<std::string> prefixes = stages_.request().is_guided
                                                  ? std::vector<std::string>{"", "negative_"}
                                                  : std::vector<std::string>{""};
    std::int64_t chunks = 0;
    for (const std::string& prefix : prefixes) {
        Ids ids = arrays.get<std::int64_t>(prefix + "ids", {kAnySize, length});
        const std::int64_t count = ids.shape.front();
        Tensor weights = arrays.get<float>(prefix + "weights", {count, length});
        chunks = std::max(chunks, count);
        for (const std::int64_t id : ids.values) {
            if (id < 0 || id >= vocabulary) {
                arrays.refuse("has ids that the tokenizer does not know");
            }
        }
        tokens_.push_back({std::move(ids), std::move(weights)});
    }
    for (const std::string& prefix : prefixes) {
        embeddings_.push_back(
            arrays.get<float>(prefix + "embeddings", {1, chunks * length, kAnySize}));
        if (embeddings_.back().shape != embeddings_.front().shape) {
            arrays.refuse("has embeddings of two widths");
        }
    }
}

void ReplayedCase::read_sampling(const GoldenArrays& arrays) {
    const Request& request = stages_.request();
    const auto rows = [this](std::int64_t number) {
        const Shape& shape = stages_.shape();
        return Shape{number, shape[0], shape[1], shape[2]};
    };
    const std::int64_t steps = request.num_inference_steps;
    noise_ = arrays.get<float>("noise", rows(kAnySize));
    sigmas_ = arrays.get<double>("sigmas", {steps + 1});
    timesteps_ = arrays.get<double>("timesteps", {steps});
    denoised_ = arrays.get<float>("denoised", rows(kAnySize));
    latents_ = arrays.get<float>("latents", rows(steps));
    pixels_ = arrays.get<std::uint8_t>("pixels", {request.height, request.width, 3});
}

void ReplayedCase::read_unet_calls(const GoldenArrays& arrays) {
    const auto& levels = arrays.get<double>("levels", {denoised_.shape.front()});
    for (const std::int64_t number : case_.unet_steps) {
        if (number >= levels.shape.front() ||
            levels.values[static_cast<std::size_t>(number)] <= 0) {
            arrays.refuse("has unet_steps or levels that are not those of its answers");
        }
        unet_calls_.push_back(
            read_unet_call(arrays, number, levels.values[static_cast<std::size_t>(number)]));
    }
    if (unet_calls_.empty()) {
        arrays.refuse("has no unet_steps");
    }
}

UNetCall ReplayedCase::read_unet_call(const GoldenArrays& arrays, std::int64_t number,
                                      double sigma) const {
    const std::string prefix = "unet/" + std::to_string(number) + "/";
    const auto batch = static_cast<std::int64_t>(tokens_.size());
    const Shape shape{batch, stages_.shape()[0], stages_.shape()[1], stages_.shape()[2]};
    const Shape& embeddings = embeddings_.front().shape;
    UNetCall call{sigma,
                  arrays.get<float>(prefix + "sample", shape),
                  arrays.get<float>(prefix + "timestep", {}).values.front(),
                  arrays.get<float>(prefix + "embeddings", {batch, embeddings[1], embeddings[2]}),
                  {},
                  arrays.get<float>(prefix + "out", shape),
                  row(denoised_, static_cast<std::size_t>(number))};
    if (const auto width = pipeline_.manifest().guidance_width()) {
        call.guidance = arrays.get<float>(prefix + "timestep_cond", {batch, width});
    }
    return call;
}

Finding ReplayedCase::replay(const std::string& stage) {
    Cancellation cancellation;
    RunState state(cancellation);
    const ArrayPairs arrays = pairs(stage, state);
    const bool is_reduced =
        std::any_of(state.networks.begin(), state.networks.end(),
                    [](const auto& entry) { return entry.second.executed != "fp32"; });
    const StageTolerances& tolerances = is_reduced ? case_.reduced : case_.fp32;
    return {case_.name, stage, compare(tolerances.at(stage), arrays)};
}

// The golden arrays of a stage with those of this host.
ArrayPairs ReplayedCase::pairs(const std::string& stage, RunState& state) {
    if (stage == "ids" || stage == "weights") {
        return token_pairs(stage == "ids");
    }
    if (stage == "embeddings") {
        return embedding_pairs(state);
    }
    if (stage == "noise") {
        return {{noise_, stages_.noise(stages_.sample(noise_, denoised_).draws)}};
    }
    if (stage == "sigmas") {
        return {{sigmas_, array_of(stages_.steps().sigmas)},
                {timesteps_, array_of(stages_.steps().timesteps)}};
    }
    if (stage == "unet") {
        return unet_pairs(state);
    }
    if (stage == "denoised") {
        return denoised_pairs();
    }
    if (stage == "latents") {
        return {{latents_, stages_.sample(noise_, denoised_).latents}};
    }
    if (stage == "pixels") {
        const auto last = static_cast<std::size_t>(latents_.shape.front()) - 1;
        return {{pixels_, bytes_of(stages_.decode(row(latents_, last), state))}};
    }
    return {{pixels_, bytes_of(stages_.picture(state))}};
}

ArrayPairs ReplayedCase::token_pairs(bool are_ids) const {
    const std::vector<Tokens> actual = stages_.tokens();
    ArrayPairs pairs;
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
        if (are_ids) {
            pairs.emplace_back(tokens_[i].ids, actual[i].ids);
        } else {
            pairs.emplace_back(tokens_[i].weights, actual[i].weights);
        }
    }
    return pairs;
}

ArrayPairs ReplayedCase::embedding_pairs(RunState& state) const {
    const std::vector<Tensor> actual = stages_.encode(tokens_, state);
    ArrayPairs pairs;
    for (std::size_t i = 0; i < embeddings_.size(); ++i) {
        pairs.emplace_back(embeddings_[i], actual[i]);
    }
    return pairs;
}

ArrayPairs ReplayedCase::unet_pairs(RunState& state) const {
    ArrayPairs pairs;
    for (const UNetCall& call : unet_calls_) {
        pairs.emplace_back(call.out, stages_.run_unet(call, state));
    }
    return pairs;
}

ArrayPairs ReplayedCase::denoised_pairs() const {
    ArrayPairs pairs;
    for (const UNetCall& call : unet_calls_) {
        pairs.emplace_back(call.denoised, stages_.denoise(call, embeddings_));
    }
    return pairs;
}

}  // namespace

bool is_worse(const Finding& finding, const Finding& other) {
    if (finding.difference.is_within() != other.difference.is_within()) {
        return !finding.difference.is_within();
    }
    return finding.difference.is_larger_than(other.difference);
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
    std::vector<ReplayedCase> replayed;
    replayed.reserve(cases.size());
    for (const auto& [golden_case, arrays] : cases) {
        replayed.emplace_back(pipeline, golden_case, arrays);
    }
    std::optional<Finding> first_failure;
    for (const std::string& stage : stage_names()) {
        std::optional<Finding> worst;
        for (ReplayedCase& replayed_case : replayed) {
            const Finding finding = replayed_case.replay(stage);
            show(finding);
            if (!worst || is_worse(finding, *worst)) {
                worst = finding;
            }
        }
        if (!first_failure && !worst->difference.is_within()) {
            first_failure = worst;
        }
    }
    if (first_failure) {
        throw ParityError("the first stage that fails is " + first_failure->stage +
                          ", in the case " + sdrt::quoted(first_failure->case_name) + " of " +
                          golden.string() + ": " + first_failure->difference.text() +
                          ", expected " + first_failure->difference.limit_text() +
                          "; everything before it is right, so look there");
    }
}

}  // namespace sdrt
