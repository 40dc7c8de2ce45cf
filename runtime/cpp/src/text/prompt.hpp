// The prompt syntax of AUTOMATIC1111's web UI: weights in brackets, and BREAK.
//
// `(word)` weighs 1.1, `[word]` 1/1.1, `(word:1.3)` 1.3, nested weights multiply, a
// backslash escapes a bracket, and the word BREAK in capitals begins a new chunk.
// Every UTF-8 text is a valid prompt.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sdrt {

// A part of a prompt with a single weight.
struct Fragment {
    std::string text;
    double weight = 1.0;
};

// A parsed prompt: its fragments by chunk, and warnings about parts that may be mistakes.
struct Prompt {
    std::vector<std::vector<Fragment>> chunks;
    std::vector<std::string> warnings;
};

// Parses weights and chunks. Unmatched brackets behave as in AUTOMATIC1111's web UI. Throws
// UsageError for a text that is not UTF-8.
Prompt parse_prompt(std::string_view text);

}  // namespace sdrt
