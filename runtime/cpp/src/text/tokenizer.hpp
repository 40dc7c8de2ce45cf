// Text -> token ids, with the tokenizer that export put into the artifact.
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

// What the text encoder takes, and how much each token's state weighs: (chunks, length) both.
struct Tokens {
    Ids ids;
    Tensor weights;
};

// A CLIP tokenizer: start token, text, end token, padding, `length` in all.
class Tokenizer {
public:
    // Reads `tokenizer.json` and `tokenizer_config.json`. Throws ArtifactError if they cannot be
    // read, UnsupportedError if they are not of CLIP's kind.
    Tokenizer(const std::filesystem::path& folder, std::int64_t length);

    // Turns a prompt into ids and weights; what does not fit a chunk goes into the next.
    Tokens encode(const Prompt& prompt) const;

    // How many ids there are.
    std::int64_t vocabulary() const;

private:
    using Added = std::pair<std::string, std::int64_t>;

    Tokenizer(const Json& tokenizer, const Json& config, std::int64_t length);

    void read_added(const Json& tokens);
    std::int64_t special(const Json& config, const std::string& kind) const;
    // Appends the ids of a text in UTF-8.
    void encode(std::string_view text, std::vector<std::int64_t>& ids) const;
    // The same for a text between added tokens.
    void encode_words(std::string_view text, std::vector<std::int64_t>& ids) const;
    // The added token that a text begins with; nullptr if there is none.
    const Added* added_at(std::string_view text) const;

    BytePairs pairs_;
    std::vector<Added> added_;  // what is taken from a text before anything else, longest first
    bool knows_specials_;       // whether the pattern of words has the special tokens in it
    std::size_t length_;
    std::int64_t start_, end_, padding_;
};

// Scales each token's state by its weight, and all so that their mean stays what it was. States are
// (1, length, width), weights `length` values. Where the scaled states cancel each other out, their
// mean is left as it is.
Tensor weighted(Tensor states, const float* weights);

}  // namespace sdrt
