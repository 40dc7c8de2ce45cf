// The manifest of an artifact: the typed contract between export, runtime and hosts. The fields and
// checks are those of Python's manifest.py, which explains each field.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace sdrt {

constexpr const char* kManifestName = "manifest.json";
constexpr int kManifestSchema = 1;

// Values by name, in the file's order.
template <class T>
using Named = std::vector<std::pair<std::string, T>>;

// The value of a name; nullptr if there is none.
template <class T>
const T* find(const Named<T>& values, std::string_view name) {
    for (const auto& [key, value] : values) {
        if (key == name) {
            return &value;
        }
    }
    return nullptr;
}

using Dimension = std::variant<std::int64_t, std::string>;  // a name stands for any size
using Option = std::variant<bool, std::int64_t, double, std::string>;

// A LoRA that was merged into the weights when the model was exported.
struct Lora {
    std::string file;
    std::string sha256;
    double weight = 0;
};

struct Source {
    std::string id;
    std::optional<std::string> revision;
    std::vector<Lora> loras;
};

struct TrainingSchedule {
    std::int64_t train_steps = 1000;
    double beta_start = 0.00085;
    double beta_end = 0.012;
    std::string curve = "scaled_linear";  // or "linear", "squaredcos_cap_v2"
    bool zero_terminal_snr = false;
    std::string spacing = "leading";  // or "trailing", "linspace"
    std::int64_t offset = 0;
};

struct Preview {
    std::vector<std::vector<double>> matrix;  // (channels, 3)
    std::vector<double> bias;                 // (3)
};

struct Latent {
    std::int64_t channels = 0;
    std::int64_t downscale = 0;
    double scale = 0;
    std::optional<Preview> preview;
};

struct TextEncoderSpec {
    std::string graph;
    std::string tokenizer;  // folder of the tokenizer
    std::int64_t length = 77;
    std::string layer = "last";
};

struct TensorSpec {
    std::string name;
    std::string dtype;  // "float32", "int64", "int32" or "bool"
    std::vector<Dimension> shape;
};

struct Quantization {
    Named<double> sqnr_db;
    std::vector<std::string> kept;
    double share = 0;
    std::int64_t samples = 0;
    std::int64_t steps = 0;
    std::int64_t seed = 0;
};

// The output of a text encoder from which clip_skip selects: (batch, layers, tokens, width).
inline constexpr const char* kLayerStates = "layer_states";
// Prefix of the outputs of SDXL's text encoders, (batch, tokens, width), each without the final
// norm: 0 is the input of the first layer, N the output of the Nth.
inline constexpr const char* kHiddenStates = "hidden_states.";
// The pooled embedding of a text (batch, width): output of a text encoder, input of a U-Net.
inline constexpr const char* kPooled = "text_embeds";
// The U-Net's input for SDXL's size conditioning: (batch, 6), or (batch, 5) for a refiner.
inline constexpr const char* kTimeIds = "time_ids";
// The U-Net's input for an embedding of the guidance scale: (batch, width).
inline constexpr const char* kGuidanceInput = "timestep_cond";

struct GraphSpec {
    Named<std::vector<std::string>>
        files;  // per format, "onnx" or "openvino"; the first is the one to open
    std::vector<TensorSpec> inputs;
    std::vector<TensorSpec> outputs;
    std::optional<std::string> precision;  // "fp32", "bf16" or "int8"
    std::optional<Quantization> quantization;
    Named<double> parity_db;

    // The input or output of a name; nullptr if there is none.
    const TensorSpec* input(std::string_view name) const;
    const TensorSpec* output(std::string_view name) const;
    // The number of outputs `hidden_states.N`.
    std::int64_t hidden_states() const;
};

struct Defaults {
    std::int64_t width = 512;
    std::int64_t height = 512;
    std::int64_t num_inference_steps = 20;
    std::string sampler = "dpm++2m";
    std::string scheduler = "default";
    Named<Option> sampler_options;
    double guidance_scale = 7.5;
};

struct FileRecord {
    std::int64_t size = 0;
    std::string sha256;
};

struct Manifest {
    std::string name;
    std::string family;
    Source source;
    std::string precision;
    std::string prediction;  // "epsilon", "v_prediction" or "sample"
    TrainingSchedule schedule;
    Latent latent;
    std::vector<TextEncoderSpec> text_encoders;  // one or more
    Named<GraphSpec> graphs;
    Defaults defaults;
    Named<FileRecord> files;
    Named<std::string> made_with;
    bool zeros_for_empty_prompt = false;  // written only if true

    // The precision in which a graph's weights are stored.
    const std::string& stored(std::string_view graph) const;
    // The number of text encoder layers to choose from; 1 if a graph outputs only the last.
    std::int64_t text_layers() const;
    // Channels that the U-Net takes in addition to the latents': 0, or 5 for an inpainting model.
    std::int64_t condition_channels() const;
    // Whether the U-Net takes the pooled embedding of the text.
    bool takes_pooled() const;
    // How many numbers of size conditioning the U-Net takes: 0, 6, or 5 for a refiner.
    std::int64_t time_ids_width() const;
    // The width of the guidance embedding that the U-Net takes as `timestep_cond`; 0 if it takes
    // none. Throws ArtifactError if the width is unknown.
    std::int64_t guidance_width() const;
    // Whether guidance was distilled into the U-Net, which then takes the scale as an embedding.
    bool is_guidance_distilled() const { return guidance_width() > 0; }
};

}  // namespace sdrt
