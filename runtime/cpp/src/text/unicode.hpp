// UTF-8, and the character classes, NFC and lower case that the
// prompt parser and the tokenizer need.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sdrt {

bool is_utf8(std::string_view text);

// The characters of a UTF-8 text; nothing if it is not valid.
std::optional<std::u32string> decode_utf8(std::string_view text);

std::string encode_utf8(std::u32string_view text);

namespace unicode {

bool is_letter(char32_t c);  // \p{L}
bool is_number(char32_t c);  // \p{N}
bool is_space(char32_t c);   // \s of Oniguruma
// The value 0..9 of a decimal digit of any script; -1 for other characters.
int digit(char32_t c);

// The canonical composition (Unicode Standard Annex 15).
std::u32string nfc(std::u32string_view text);

// Lower case, character by character.
std::u32string lower(std::u32string_view text);

}  // namespace unicode
}  // namespace sdrt
