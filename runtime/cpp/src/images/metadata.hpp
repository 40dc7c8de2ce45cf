// The parameters of an image, which are stored in its PNG: JSON for programs, and the text of
// AUTOMATIC1111's web UI for other tools. The fields are those of Python's metadata.py.
#pragma once

#include "backends/executed.hpp"
#include "manifest.hpp"
#include "request/size_conditioning.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace sdrt {

constexpr const char* kMetadataChunk = "sdrt";
constexpr int kMetadataSchema = 2;

// Everything that is needed to make an image again. Features that only Python has (styles, prompt
// embeddings, initial images, VAE tiling, hires passes, feature reuse, LoRAs, textual inversions)
// are written as Python writes an image that does not use them.
struct Parameters {
    std::string prompt;
    std::string negative_prompt;
    std::int64_t seed = 0;
    std::int64_t width = 0;
    std::int64_t height = 0;
    std::int64_t num_inference_steps = 0;
    std::int64_t clip_skip = 1;
    std::optional<SizeConditioning> size_conditioning;  // of models that take one
    std::string sampler;
    std::string scheduler;
    std::string spacing;
    std::int64_t steps_offset = 0;
    Named<Option> sampler_options;
    double guidance_scale = 1;
    double guidance_rescale = 0;
    double guidance_start = 0;
    double guidance_end = 1;
    std::string speed = "exact";            // the preset that filled gaps
    std::int64_t evaluations = 0;           // of the U-Net, each of all of it
    std::int64_t unguided_evaluations = 0;  // of these, without the negative prompt in a guided run
    std::string model;
    std::string model_hash;          // Artifact::hash
    std::string stored_precision;    // of the U-Net, which takes most of the time
    std::string executed_precision;  // of the U-Net
    Named<NetworkRecord> networks;   // every network that ran for the image
    std::string backend;
    std::int64_t threads = 0;
    std::string version;

    // The text of the chunk `parameters`, in AUTOMATIC1111's format.
    std::string to_a1111() const;
    // The text of the chunk `sdrt`.
    std::string to_json() const;
};

}  // namespace sdrt
