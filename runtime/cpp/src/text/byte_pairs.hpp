// Byte-pair encoding (Sennrich et al. 2016, arXiv 1508.07909) of words, as CLIP does it: on bytes,
// with a mark at each word's end.
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
    // From the `model` of a tokenizer.json. Throws FieldProblem for one that is not as it should
    // be, UnsupportedError for one of another kind.
    explicit BytePairs(const Json& model);

    // Appends the ids of one word, which has no spaces in it.
    void encode(std::string_view word, std::vector<std::int64_t>& ids) const;

    // The id of a token as the file spells it; -1 if there is none.
    std::int64_t id(const std::string& token) const;

    std::size_t size() const { return vocabulary_.size(); }

private:
    struct Merge {
        std::size_t rank;  // the lower, the sooner
        std::int64_t id;   // of what two tokens become
    };

    void read_vocabulary(const Json& model);
    void read_merges(const Json& merges);
    void read_bytes(const Json* unknown, const std::string& suffix);
    const Merge* find(std::int64_t left, std::int64_t right) const;

    std::unordered_map<std::string, std::int64_t> vocabulary_;
    std::unordered_map<std::uint64_t, Merge> merges_;  // by both ids
    std::array<std::int64_t, 256> inner_{}, last_{};   // ids of bytes; the last of a word its own
};

}  // namespace sdrt
