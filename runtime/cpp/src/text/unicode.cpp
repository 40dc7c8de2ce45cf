#include "text/unicode.hpp"

#include "text/unicode_tables.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <tuple>

namespace sdrt {
namespace {

constexpr char32_t kSurrogates = 0xD800, kSurrogatesEnd = 0xE000, kCharactersEnd = 0x110000;

// Decodes the character at `at` and moves past it; false if it is not valid.
bool next_character(std::string_view text, std::size_t& at, char32_t& c) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(at);
    const std::size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if ((lead >= 0x80 && lead < 0xC2) || lead > 0xF4 || text.size() - at < length) {
        return false;
    }
    c = length == 1 ? lead : lead & (0xFFU >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(at + i) & 0xC0) != 0x80) {
            return false;
        }
        c = c << 6 | (byte(at + i) & 0x3F);
    }
    constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    at += length;
    return c >= least[length] && c < kCharactersEnd && (c < kSurrogates || c >= kSurrogatesEnd);
}

}  // namespace

bool is_utf8(std::string_view text) {
    char32_t c = 0;
    for (std::size_t at = 0; at < text.size();) {
        if (!next_character(text, at, c)) {
            return false;
        }
    }
    return true;
}

std::optional<std::u32string> decode_utf8(std::string_view text) {
    std::u32string decoded;
    decoded.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
        char32_t c = 0;
        if (!next_character(text, at, c)) {
            return std::nullopt;
        }
        decoded += c;
    }
    return decoded;
}

std::string encode_utf8(std::u32string_view text) {
    std::string encoded;
    encoded.reserve(text.size());
    const auto put = [&](char32_t byte) { encoded += static_cast<char>(byte); };
    for (const char32_t c : text) {
        if (c < 0x80) {
            put(c);
        } else if (c < 0x800) {
            put(0xC0 | c >> 6);
            put(0x80 | (c & 0x3F));
        } else {
            if (c < 0x10000) {
                put(0xE0 | c >> 12);
            } else {
                put(0xF0 | c >> 18);
                put(0x80 | (c >> 12 & 0x3F));
            }
            put(0x80 | (c >> 6 & 0x3F));
            put(0x80 | (c & 0x3F));
        }
    }
    return encoded;
}

namespace unicode {
namespace {

// Hangul syllables are composed of their letters by arithmetic (Unicode Standard, section 3.12).
constexpr char32_t kSyllables = 0xAC00, kLeads = 0x1100, kVowels = 0x1161, kTails = 0x11A7;
constexpr char32_t kLeadCount = 19, kVowelCount = 21, kTailCount = 28;
constexpr char32_t kSyllableCount = kLeadCount * kVowelCount * kTailCount;

// The row of a range table that contains a character; nullptr if none does.
template <class Table>
const typename Table::value_type* row_of(const Table& table, char32_t c) {
    const auto next =
        std::upper_bound(table.begin(), table.end(), c,
                         [](char32_t code, const auto& row) { return code < row.first; });
    if (next == table.begin() || c > std::prev(next)->last) {
        return nullptr;
    }
    return &*std::prev(next);
}

int mark_class(char32_t c) {
    const MarkClass* row = row_of(kMarkClasses, c);
    return row != nullptr ? row->mark_class : 0;
}

void decompose(char32_t c, std::u32string& text) {
    if (c >= kSyllables && c < kSyllables + kSyllableCount) {
        const char32_t index = c - kSyllables;
        text += kLeads + index / (kVowelCount * kTailCount);
        text += kVowels + index / kTailCount % kVowelCount;
        if (index % kTailCount != 0) {
            text += kTails + index % kTailCount;
        }
        return;
    }
    const auto row = std::lower_bound(
        kDecompositions.begin(), kDecompositions.end(), c,
        [](const Decomposition& entry, char32_t code) { return entry.code < code; });
    if (row == kDecompositions.end() || row->code != c) {
        text += c;
        return;
    }
    decompose(row->first, text);
    if (row->second != 0) {
        decompose(row->second, text);
    }
}

// The character that two compose to; 0 if they do not compose.
char32_t composition(char32_t first, char32_t second) {
    if (first - kLeads < kLeadCount && second - kVowels < kVowelCount) {
        return kSyllables + ((first - kLeads) * kVowelCount + second - kVowels) * kTailCount;
    }
    const char32_t syllable = first - kSyllables;
    const bool is_open = syllable < kSyllableCount && syllable % kTailCount == 0;
    if (is_open && second > kTails && second < kTails + kTailCount) {
        return first + second - kTails;
    }
    const auto row = std::lower_bound(
        kCompositions.begin(), kCompositions.end(), std::tie(first, second),
        [](const Composition& entry, const std::tuple<const char32_t&, const char32_t&>& pair) {
            return std::tie(entry.first, entry.second) < pair;
        });
    const bool is_match =
        row != kCompositions.end() && row->first == first && row->second == second;
    return is_match ? row->code : 0;
}

// Sorts each run of combining marks by class.
void sort_marks(std::u32string& text) {
    for (std::size_t begin = 0; begin < text.size();) {
        std::size_t end = begin;
        while (end < text.size() && mark_class(text[end]) != 0) {
            ++end;
        }
        std::stable_sort(text.begin() + static_cast<std::ptrdiff_t>(begin),
                         text.begin() + static_cast<std::ptrdiff_t>(end),
                         [](char32_t a, char32_t b) { return mark_class(a) < mark_class(b); });
        begin = end + 1;
    }
}

}  // namespace

bool is_letter(char32_t c) { return row_of(kLetters, c) != nullptr; }
bool is_number(char32_t c) { return row_of(kNumbers, c) != nullptr; }
bool is_space(char32_t c) { return row_of(kSpaces, c) != nullptr; }

int digit(char32_t c) {
    const auto next = std::upper_bound(kZeros.begin(), kZeros.end(), c);
    if (next == kZeros.begin() || c - *std::prev(next) > 9) {
        return -1;
    }
    return static_cast<int>(c - *std::prev(next));
}

std::u32string nfc(std::u32string_view text) {
    std::u32string decomposed;
    for (const char32_t c : text) {
        decompose(c, decomposed);
    }
    sort_marks(decomposed);
    std::u32string composed;
    std::size_t starter =
        std::u32string::npos;  // position of the character that marks compose with
    int last_class = 0;        // class of the last character after the starter
    for (const char32_t c : decomposed) {
        const int own_class = mark_class(c);
        // A mark is blocked by an earlier mark of the same class, and a starter by any mark.
        const bool is_free =
            starter != std::u32string::npos && (last_class == 0 || last_class < own_class);
        const char32_t whole = is_free ? composition(composed[starter], c) : 0;
        if (whole != 0) {
            composed[starter] = whole;
            continue;
        }
        if (own_class == 0) {
            starter = composed.size();
        }
        last_class = own_class;
        composed += c;
    }
    return composed;
}

std::u32string lower(std::u32string_view text) {
    std::u32string lowered;
    lowered.reserve(text.size());
    for (const char32_t c : text) {
        const Lowering* row = row_of(kLowerings, c);
        if (c == U'\u0130') {  // the only character whose lower case is two characters
            lowered += U"i\u0307";
        } else if (row != nullptr && (c - row->first) % row->step == 0) {
            lowered += static_cast<char32_t>(static_cast<std::int64_t>(c) + row->distance);
        } else {
            lowered += c;
        }
    }
    return lowered;
}

}  // namespace unicode
}  // namespace sdrt
