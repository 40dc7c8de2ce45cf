// How CLIP sees a text: in lower case, and in words that are encoded each by itself.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sdrt {

// Composed, in lower case, and with one space in place of several.
std::u32string normalized(std::u32string_view text);

// The words of a normalized text: contractions, letters in a row, single digits, and whatever else
// is in a row. With `knows_specials`, a special token that became one by its lower case is kept
// apart from what stands around it.
std::vector<std::u32string_view> words_of(std::u32string_view text, bool knows_specials);

}  // namespace sdrt
