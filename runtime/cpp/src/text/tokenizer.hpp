// Prompt -> token ids, with the tokenizer files of the artifact.
#pragma once

#include "arrays.hpp"
#include "text/byte_pairs.hpp"
#include "text/prompt.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sdrt {

// The ids that a text encoder takes and the weight of each token, both (chunks, length).
struct Tokens {
    Ids ids;
    Tensor weights;
};

// A CLIP tokenizer. Each chunk has `length` ids: start token, text, end token, padding.
class Tokenizer {
public:
    // Reads `tokenizer.json` and `tokenizer_config.json`. Throws ArtifactError if they cannot be
    // read, UnsupportedError if they do not describe CLIP's tokenizer.
    Tokenizer(const std::filesystem::path& folder, std::int64_t length);

    // Turns a prompt into ids and weights. What does not fit into a chunk goes into the next.
    Tokens encode(const Prompt& prompt) const;

    // The number of ids.
    std::int64_t vocabulary_size() const;

private:
    using AddedToken = std::pair<std::string, std::int64_t>;  // text and id

    Tokenizer(const Json& tokenizer, const Json& config, std::int64_t length);

    void read_added_tokens(const Json& tokens);
    std::int64_t special_token(const Json& config, const std::string& kind) const;
    // Appends the ids of a UTF-8 text.
    void encode(std::string_view text, std::vector<std::int64_t>& ids) const;
    // Appends the ids of a text between added tokens.
    void encode_words(std::string_view text, std::vector<std::int64_t>& ids) const;
    // The added token at the beginning of a text; nullptr if there is none.
    const AddedToken* added_token_at(std::string_view text) const;

    BytePairs pairs_;
    std::vector<AddedToken> added_tokens_;  // matched before anything else, the longest first
    bool has_special_tokens_;               // whether the pre-tokenizer splits off special tokens
    std::size_t length_;
    std::int64_t start_, end_, padding_;
};

// Scales each token's state by its weight, then all states so that their mean does not change.
// States are (1, length, width), weights `length` values. If the weighted states cancel each other
// out, their mean is not restored.
Tensor weighted(Tensor states, const float* weights);

}  // namespace sdrt
