#include "text/pre_tokenizer.hpp"

#include "text/unicode.hpp"

#include <algorithm>
#include <cstddef>

namespace sdrt {
namespace {

constexpr std::u32string_view kContractions[] = {U"'s", U"'t",  U"'re", U"'ve",
                                                 U"'m", U"'ll", U"'d"};
constexpr std::u32string_view kSpecialTokens[] = {U"<|startoftext|>", U"<|endoftext|>"};
constexpr std::size_t kSpecialSign = 2;  // "<|" and "|>", which are words of their own

template <class Texts>
std::size_t length_of_first(const Texts& texts, std::u32string_view text) {
    for (const std::u32string_view one : texts) {
        if (text.substr(0, one.size()) == one) {
            return one.size();
        }
    }
    return 0;
}

template <class Is>
std::size_t run(std::u32string_view text, Is is) {
    return static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is) - text.begin());
}

bool is_sign(char32_t c) {
    return !unicode::is_space(c) && !unicode::is_letter(c) && !unicode::is_number(c);
}

}  // namespace

std::u32string normalized(std::u32string_view text) {
    std::u32string spaced;
    for (const char32_t c : unicode::nfc(text)) {
        if (!unicode::is_space(c)) {
            spaced += c;
        } else if (spaced.empty() || spaced.back() != U' ') {
            spaced += U' ';
        }
    }
    return unicode::lower(spaced);
}

std::vector<std::u32string_view> words_of(std::u32string_view text, bool knows_specials) {
    std::vector<std::u32string_view> words;
    while (!text.empty()) {
        const std::size_t special = knows_specials ? length_of_first(kSpecialTokens, text) : 0;
        if (special != 0) {
            words.push_back(text.substr(0, kSpecialSign));
            words.push_back(text.substr(kSpecialSign, special - 2 * kSpecialSign));
            words.push_back(text.substr(special - kSpecialSign, kSpecialSign));
            text.remove_prefix(special);
            continue;
        }
        std::size_t length = length_of_first(kContractions, text);
        if (length == 0) {
            length = run(text, unicode::is_letter);
        }
        if (length == 0) {
            length = unicode::is_number(text.front()) ? 1 : run(text, is_sign);
        }
        if (length != 0) {
            words.push_back(text.substr(0, length));
        }
        text.remove_prefix(std::max(length, std::size_t{1}));  // or behind a space
    }
    return words;
}

}  // namespace sdrt
