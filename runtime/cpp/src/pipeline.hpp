// Prompt -> picture. Networks are loaded when they are first needed.
#pragma once

#include "artifact/artifact.hpp"
#include "backends/backend.hpp"
#include "images/png.hpp"
#include "networks/denoiser.hpp"
#include "networks/run_state.hpp"
#include "request/request.hpp"
#include "sampling/noise.hpp"
#include "sampling/schedule.hpp"
#include "text/conditioning.hpp"
#include "text/tokenizer.hpp"

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace sdrt {

struct LoadOptions {
    EngineOptions engine;
    // Networks that stay in memory between uses; the others are released after each use.
    std::set<std::string> keep = {"unet", "vae_decoder"};
    // Whether a network that gives NaN or infinity runs again in fp32, unless it ran so.
    bool retry_precision = true;
};

// One step: `latents` and the present guess `denoised`, (images, channels, h/8, w/8).
struct Step {
    std::size_t index;
    std::size_t count;
    double sigma;  // noise level of `latents`
    const Tensor& latents;
    const Tensor& denoised;
    double seconds;
};
using Callback = std::function<void(const Step&)>;  // what it throws ends the run

struct Result {
    std::vector<Image> images;
    std::vector<Parameters> parameters;
    Timings timings;
    std::vector<std::string> warnings;
};

// What a U-Net is told of prompt and negative prompt, the latter nothing without guidance.
struct Embeddings {
    Text positive;
    std::optional<Text> negative;
};

using TokensOfAll = std::vector<Tokens>;  // a prompt, as each of the text encoders takes it

class Pipeline {
public:
    // Opens a model; throws ArtifactError, UnsupportedError or UsageError.
    Pipeline(const std::filesystem::path& path, LoadOptions options);

    const Artifact& artifact() const { return artifact_; }
    const Manifest& manifest() const { return artifact_.manifest(); }
    const Backend& backend() const { return *backend_; }
    // The first text encoder's.
    const Tokenizer& tokenizer() const { return tokenizers_.front(); }
    const TrainingNoise& noise() const { return noise_; }

    // Makes pictures of a request; everything that cannot be is refused before any work.
    Result generate(const Request& request, Cancellation& cancellation, const Callback& callback);

    // The parts of that, for whoever does them one by one.
    Embeddings encode(const TokensOfAll& positive, const TokensOfAll* negative,
                      std::int64_t clip_skip, Job& job);
    // The U-Net's answer, ready for a denoiser.
    UNet unet(Job& job);
    Denoiser denoiser(UNet unet, const Steps& steps, const Request& request, Embeddings embeddings);
    // One picture of one latent (1, channels, h, w), in the U-Net's space.
    Image decode(const Tensor& latents, Job& job);

    // Keeps in a job what a network executed that has run.
    void record(const std::string& network, Job& job) const;

    // Frees the memory of networks that were not asked to stay.
    void release_after_use(const std::string& network);

private:
    Result make(const Request& request, Cancellation& cancellation, const Callback& callback);
    Outputs ask(const std::string& network, const Feeds& feeds,
                const std::vector<std::string>& outputs, Job& job);
    Graph& graph(const std::string& network, const Shapes& shapes, Job& job);
    TokensOfAll tokens_of(const Prompt& prompt) const;
    Text encode_all(const TokensOfAll& tokens, std::int64_t clip_skip, Job& job);
    Text encode_chunks(const TextEncoderSpec& encoder, const Tokens& tokens, std::int64_t clip_skip,
                       Job& job);
    void release_encoders();
    Embeddings embed(const Request& request, Job& job);
    Parameters parameters(const Request& request, std::uint64_t seed, const Job& job) const;

    struct Opened {
        std::shared_ptr<Backend> backend;
        std::unique_ptr<Graph> graph;
    };

    LoadOptions options_;
    Artifact artifact_;
    std::shared_ptr<Backend> backend_;
    std::vector<Tokenizer> tokenizers_;  // one for each text encoder
    TrainingNoise noise_;
    std::map<std::string, Opened> graphs_;
};

// (channels, h/8, w/8)
Shape latent_shape(const Manifest& manifest, const Request& request);

}  // namespace sdrt
