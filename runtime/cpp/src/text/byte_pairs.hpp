// CLIP's byte-pair encoding of words (Sennrich et al. 2016, arXiv 1508.07909): on bytes, with a
// mark at the end of each word.
#pragma once

#include "files/json_file.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace sdrt {

class BytePairs {
public:
    // Reads the `model` of a tokenizer.json. Throws FieldProblem for a wrong field,
    // UnsupportedError for another kind of model.
    explicit BytePairs(const Json& model);

    // Appends the ids of a word, which contains no spaces.
    void encode(std::string_view word, std::vector<std::int64_t>& ids) const;

    // The id of a token in the spelling of the file; -1 if there is none.
    std::int64_t id(const std::string& token) const;

    std::size_t size() const { return vocabulary_.size(); }

private:
    struct Merge {
        std::size_t rank;  // merges of lower rank come first
        std::int64_t id;   // of the merged token
    };

    void read_vocabulary(const Json& model);
    void read_merges(const Json& merges);
    void read_bytes(const Json* unknown, const std::string& suffix);
    // The merge of two tokens; nullptr if there is none.
    const Merge* find(std::int64_t left, std::int64_t right) const;

    std::unordered_map<std::string, std::int64_t> vocabulary_;
    std::unordered_map<std::uint64_t, Merge> merges_;  // by the ids of both tokens
    std::array<std::int64_t, 256> inner_{}, last_{};  // ids of bytes inside and at the end of words
};

}  // namespace sdrt
