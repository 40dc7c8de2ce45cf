// A model that is open on an engine: its artifact, tokenizers and networks.
#pragma once

#include "artifact/artifact.hpp"
#include "backends/open_backend.hpp"
#include "networks/autoencoder.hpp"
#include "networks/fp32_fallback.hpp"
#include "networks/loaded.hpp"
#include "networks/text_encoders.hpp"
#include "sampling/schedule.hpp"

#include <filesystem>
#include <memory>
#include <set>
#include <string>

namespace sdrt {

struct LoadOptions {
    EngineOptions engine;
    // Networks that stay in memory between uses; the others are released after each use.
    std::set<std::string> keep = {"unet", "vae_decoder"};
    // Whether a network that gives NaN or infinity is rerun in fp32.
    bool retry_precision = true;
};

class OpenModel {
public:
    // Reads and checks the manifest and the tokenizers; networks are loaded at first use. Throws
    // ArtifactError, UnsupportedError or UsageError.
    OpenModel(const std::filesystem::path& path, const LoadOptions& options);
    OpenModel(const OpenModel&) = delete;
    OpenModel& operator=(const OpenModel&) = delete;

    const Artifact& artifact() const { return artifact_; }
    const Manifest& manifest() const { return artifact_.manifest(); }
    const Backend& backend() const { return networks_.backend(); }
    const TrainingNoise& noise() const { return noise_; }

    LoadedNetworks& networks() { return networks_; }
    NetworkRunner& runner() { return runner_; }
    TextEncoders& text_encoders() { return text_encoders_; }
    Autoencoder& autoencoder() { return autoencoder_; }

    // Releases the networks that are not to be kept in memory.
    void release_after_use();

private:
    Artifact artifact_;
    LoadedNetworks networks_;
    NetworkRunner runner_;
    TrainingNoise noise_;
    TextEncoders text_encoders_;
    Autoencoder autoencoder_;
};

}  // namespace sdrt
