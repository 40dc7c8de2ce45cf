// The parameters of a picture, inside its PNG: JSON for programs, A1111's text for people's tools.
// The fields are those of Python's metadata.py and record.py.
#pragma once

#include "backends/executed.hpp"
#include "manifest.hpp"
#include "text/conditioning.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace sdrt {

constexpr const char* kMetadataChunk = "sdrt";
constexpr int kMetadataSchema = 1;

// Everything needed to make a picture again. What this host cannot do (styles, embeddings, images to
// start from, a VAE in tiles, a second pass, LoRAs, words of one's own) is written as Python writes a
// picture without it.
struct Parameters {
    std::string prompt;
    std::string negative_prompt;
    std::int64_t seed = 0;
    std::int64_t width = 0;
    std::int64_t height = 0;
    std::int64_t num_inference_steps = 0;
    std::int64_t clip_skip = 1;
    std::optional<Framing> framing;  // of models that are told of the picture
    std::string sampler;
    std::string scheduler;
    std::string spacing;
    std::int64_t steps_offset = 0;
    Named<Option> sampler_options;
    double guidance_scale = 1;
    double guidance_rescale = 0;
    double guidance_start = 0;
    double guidance_end = 1;
    std::string model;
    std::string model_hash;  // Artifact::hash
    std::string stored_precision;
    std::string executed_precision;  // both of the U-Net, which takes most of the time
    Named<NetworkRecord> networks;   // all that ran for the picture
    std::string backend;
    std::int64_t threads = 0;
    std::string version;

    // The text that AUTOMATIC1111 writes into `parameters`.
    std::string to_a1111() const;
    // The chunk `sdrt`.
    std::string to_json() const;
};

}  // namespace sdrt
