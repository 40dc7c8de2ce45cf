#include "text/pre_tokenizer.hpp"

#include "text/unicode.hpp"

#include <algorithm>
#include <cstddef>

namespace sdrt {
namespace {

constexpr std::u32string_view kContractions[] = {U"'s", U"'t",  U"'re", U"'ve",
                                                 U"'m", U"'ll", U"'d"};
constexpr std::u32string_view kSpecialTokens[] = {U"<|startoftext|>", U"<|endoftext|>"};
constexpr std::size_t kMarkerLength = 2;  // of "<|" and "|>", which are words of their own

// The length of the first of these prefixes that the text has; 0 if it has none.
template <class Prefixes>
std::size_t prefix_length(const Prefixes& prefixes, std::u32string_view text) {
    for (const std::u32string_view prefix : prefixes) {
        if (text.substr(0, prefix.size()) == prefix) {
            return prefix.size();
        }
    }
    return 0;
}

// The number of leading characters that satisfy a predicate.
template <class Predicate>
std::size_t run_length(std::u32string_view text, Predicate predicate) {
    return static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), predicate) -
                                    text.begin());
}

bool is_symbol(char32_t c) {
    return !unicode::is_space(c) && !unicode::is_letter(c) && !unicode::is_number(c);
}

}  // namespace

std::u32string normalize(std::u32string_view text) {
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

std::vector<std::u32string_view> pre_tokenize(std::u32string_view text, bool has_special_tokens) {
    std::vector<std::u32string_view> words;
    while (!text.empty()) {
        const std::size_t special = has_special_tokens ? prefix_length(kSpecialTokens, text) : 0;
        if (special != 0) {
            words.push_back(text.substr(0, kMarkerLength));
            words.push_back(text.substr(kMarkerLength, special - 2 * kMarkerLength));
            words.push_back(text.substr(special - kMarkerLength, kMarkerLength));
            text.remove_prefix(special);
            continue;
        }
        std::size_t length = prefix_length(kContractions, text);
        if (length == 0) {
            length = run_length(text, unicode::is_letter);
        }
        if (length == 0) {
            length = unicode::is_number(text.front()) ? 1 : run_length(text, is_symbol);
        }
        if (length != 0) {
            words.push_back(text.substr(0, length));
        }
        text.remove_prefix(std::max(length, std::size_t{1}));  // a space is skipped
    }
    return words;
}

}  // namespace sdrt
