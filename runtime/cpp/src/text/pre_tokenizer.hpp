// CLIP's normalizer and pre-tokenizer: lower case, and the words that are encoded one by one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sdrt {

// Normalizes to NFC and lower case, with runs of white space replaced by one space.
std::u32string normalize(std::u32string_view text);

// Splits a normalized text into contractions, runs of letters, single digits, and runs of other
// characters. With `has_special_tokens`, a special token that appears only after conversion to
// lower case is also split off.
std::vector<std::u32string_view> pre_tokenize(std::u32string_view text, bool has_special_tokens);

}  // namespace sdrt
