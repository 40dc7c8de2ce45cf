#include "networks/text_encoders.hpp"

#include "errors.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace sdrt {
namespace {

// The states (1, length, width) of a layer, counted from the last, which is 1.
Tensor select_layer(const Tensor& layers, std::int64_t layer) {
    const std::int64_t count = layers.shape.at(1);
    Tensor states(Shape{1, layers.shape.at(2), layers.shape.at(3)});
    const auto begin =
        layers.values.begin() + static_cast<std::ptrdiff_t>(states.size()) * (count - layer);
    std::copy_n(begin, states.size(), states.values.begin());
    return states;
}

// The output that holds the states of a layer, counted from the layer that the
// U-Net was trained with, which is 1.
std::string states_output(const GraphSpec& graph, const TextEncoderSpec& encoder,
                          std::int64_t layer) {
    const std::int64_t hidden_states = graph.hidden_states();
    if (hidden_states > 0 && encoder.layer == "penultimate") {
        return kHiddenStates + std::to_string(hidden_states - 1 - layer);
    }
    return layer == 1 ? "last_hidden_state" : kLayerStates;
}

}  // namespace

TextEncoders::TextEncoders(const Artifact& artifact, LoadedNetworks& networks,
                           NetworkRunner& runner)
    : artifact_(artifact),
      networks_(networks),
      runner_(runner) {
    for (const TextEncoderSpec& encoder : manifest().text_encoders) {
        tokenizers_.emplace_back(artifact.root() / encoder.tokenizer, encoder.length);
    }
}

EncoderTokens TextEncoders::tokens(const Prompt& prompt) const {
    EncoderTokens tokens;
    for (const Tokenizer& tokenizer : tokenizers_) {
        tokens.push_back(tokenizer.encode(prompt));
    }
    return tokens;
}

PromptConditioning TextEncoders::encode(const EncoderTokens& positive,
                                        const EncoderTokens* negative, std::int64_t clip_skip,
                                        RunState& state) {
    PromptConditioning conditioning;
    conditioning.positive = encode_prompt(positive, clip_skip, state);
    if (negative == nullptr) {
        return conditioning;
    }
    conditioning.negative = encode_prompt(*negative, clip_skip, state);
    // The U-Net takes both as one batch, so the shorter is padded with the embeddings of "".
    Tensor& positive_states = conditioning.positive.states;
    Tensor& negative_states = conditioning.negative->states;
    const bool is_positive_shorter = positive_states.size() < negative_states.size();
    Tensor& shorter = is_positive_shorter ? positive_states : negative_states;
    const std::size_t longest = std::max(positive_states.size(), negative_states.size());
    if (shorter.size() < longest) {
        const Tensor padding = encode_prompt(tokens(parse_prompt("")), clip_skip, state).states;
        while (shorter.size() < longest) {
            shorter = joined_tokens({shorter, padding});
        }
    }
    return conditioning;
}

// The embeddings of one prompt by all text encoders.
TextConditioning TextEncoders::encode_prompt(const EncoderTokens& tokens, std::int64_t clip_skip,
                                             RunState& state) {
    std::vector<Tensor> states;
    TextConditioning conditioning;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        TextConditioning encoded =
            encode_chunks(manifest().text_encoders.at(i), tokens[i], clip_skip, state);
        states.push_back(std::move(encoded.states));
        if (conditioning.pooled.size() == 0) {
            conditioning.pooled = std::move(encoded.pooled);
        }
    }
    conditioning.states = states.size() == 1 ? std::move(states.front()) : joined_widths(states);
    return conditioning;
}

// The pooled embedding of a prompt is that of its first chunk, as in AUTOMATIC1111's web UI.
TextConditioning TextEncoders::encode_chunks(const TextEncoderSpec& encoder, const Tokens& tokens,
                                             std::int64_t clip_skip, RunState& state) {
    const GraphSpec& spec = *find(manifest().graphs, encoder.graph);
    const std::string states_name = states_output(spec, encoder, clip_skip);
    std::vector<std::string> output_names{states_name};
    if (manifest().takes_pooled() && spec.output(kPooled) != nullptr) {
        output_names.emplace_back(kPooled);
    }
    const std::int64_t length = tokens.ids.shape.at(1);
    std::vector<Tensor> chunks;
    TextConditioning conditioning;
    for (std::int64_t i = 0; i < tokens.ids.shape.at(0); ++i) {
        const std::int64_t* ids = tokens.ids.data() + i * length;
        const Ids chunk(Shape{1, length}, {ids, ids + length});
        const Feeds feeds = {{"input_ids", Feed(chunk)}};
        // Opened here, so that the time of loading is not counted as time of encoding.
        networks_.graph(encoder.graph, {{"input_ids", chunk.shape}}, state);
        const double began = now_s();
        Outputs outputs = runner_.run(encoder.graph, feeds, output_names, state);
        state.timings.text_encoder_s += now_s() - began;
        Tensor states = std::move(outputs.at(states_name));
        if (states.shape.size() != (states_name == kLayerStates ? 4U : 3U)) {
            throw ArtifactError(encoder.graph + " gives " + states_name +
                                " in another shape than the manifest says; export the model again");
        }
        if (states_name == kLayerStates) {
            states = select_layer(states, clip_skip);
        }
        chunks.push_back(weighted(std::move(states), tokens.weights.data() + i * length));
        if (i == 0 && output_names.size() > 1) {
            conditioning.pooled = std::move(outputs.at(kPooled));
        }
    }
    state.record(networks_.loaded_graph(encoder.graph));
    conditioning.states = joined_tokens(chunks);
    return conditioning;
}

void TextEncoders::release_after_use() {
    for (const TextEncoderSpec& encoder : manifest().text_encoders) {
        networks_.release_after_use(encoder.graph);
    }
}

}  // namespace sdrt
