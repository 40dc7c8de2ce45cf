// Prompts as people write them since AUTOMATIC1111's web UI: weights in brackets, and BREAK.
//
// `(word)` weighs 1.1, `[word]` 1/1.1, `(word:1.3)` 1.3, nested weights multiply, a backslash takes
// a bracket literally, and the word BREAK in capitals begins a new chunk. No text in UTF-8 is an
// error.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sdrt {

// A piece of a prompt that has one weight.
struct Fragment {
    std::string text;
    double weight = 1.0;
};

// What a prompt says: fragments by chunk, and what in it may not be meant as it was read.
struct Prompt {
    std::vector<std::vector<Fragment>> chunks;
    std::vector<std::string> warnings;
};

// Reads weights and chunks; brackets without a partner behave as in AUTOMATIC1111's web UI. Throws
// UsageError for a text that is not UTF-8.
Prompt parse_prompt(std::string_view text);

}  // namespace sdrt
