// The text encoders with their tokenizers: prompt -> embeddings.
#pragma once

#include "artifact/artifact.hpp"
#include "networks/fp32_fallback.hpp"
#include "networks/loaded.hpp"
#include "text/conditioning.hpp"
#include "text/prompt.hpp"
#include "text/tokenizer.hpp"

#include <cstdint>
#include <vector>

namespace sdrt {

// A prompt's tokens for each text encoder.
using EncoderTokens = std::vector<Tokens>;

class TextEncoders {
public:
    // Reads the tokenizers; the arguments must outlive this. Throws ArtifactError or
    // UnsupportedError for a tokenizer that this host cannot read.
    TextEncoders(const Artifact& artifact, LoadedNetworks& networks, NetworkRunner& runner);

    // The tokenizer of the first text encoder.
    const Tokenizer& tokenizer() const { return tokenizers_.front(); }

    EncoderTokens tokens(const Prompt& prompt) const;

    // The embeddings of one or two prompts, of equal length. `clip_skip` counts layers from the
    // last, which is 1. Without a negative prompt `negative` is nullptr.
    PromptConditioning encode(const EncoderTokens& positive, const EncoderTokens* negative,
                              std::int64_t clip_skip, RunState& state);

    // Releases the encoders that are not to be kept in memory.
    void release_after_use();

private:
    const Manifest& manifest() const { return artifact_.manifest(); }
    TextConditioning encode_prompt(const EncoderTokens& tokens, std::int64_t clip_skip,
                                   RunState& state);
    TextConditioning encode_chunks(const TextEncoderSpec& encoder, const Tokens& tokens,
                                   std::int64_t clip_skip, RunState& state);

    const Artifact& artifact_;
    LoadedNetworks& networks_;
    NetworkRunner& runner_;
    std::vector<Tokenizer> tokenizers_;  // one for each text encoder
};

}  // namespace sdrt
