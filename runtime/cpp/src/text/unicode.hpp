// Texts as the tokenizer and the reader of prompts see them: characters, their classes, NFC and
// lower case.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sdrt {

bool is_utf8(std::string_view text);

// The characters of a text in UTF-8; nothing if it is not.
std::optional<std::u32string> decode_utf8(std::string_view text);

std::string encode_utf8(std::u32string_view text);

namespace unicode {

bool is_letter(char32_t c);  // \p{L}
bool is_number(char32_t c);  // \p{N}
bool is_space(char32_t c);   // \s of Oniguruma
// A decimal digit of any script, 0..9; -1 for other characters.
int digit(char32_t c);

// The canonical composition (Unicode Standard Annex 15).
std::u32string nfc(std::u32string_view text);

// Lower case, character by character.
std::u32string lower(std::u32string_view text);

}  // namespace unicode
}  // namespace sdrt
