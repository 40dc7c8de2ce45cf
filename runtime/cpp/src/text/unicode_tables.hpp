// The Unicode data that the tokenizer needs; each table is sorted by its first column.
#pragma once

#include <array>

namespace sdrt::unicode {

struct Range {
    char32_t first, last;
};

struct MarkClass {
    char32_t first, last;
    int mark_class;
};

// The one or two characters that a character decomposes to; `second` is 0 if there is only one.
struct Decomposition {
    char32_t code, first, second;
};

struct Composition {
    char32_t first, second, code;
};

// The lower case of every `step`th letter from `first` to `last` lies at this distance.
struct Lowering {
    char32_t first, last, step;
    int distance;
};

extern const std::array<Range, 677> kLetters;
extern const std::array<Range, 144> kNumbers;
extern const std::array<Range, 10> kSpaces;
extern const std::array<char32_t, 66> kZeros;  // each is followed by the nine other digits
extern const std::array<MarkClass, 334> kMarkClasses;
extern const std::array<Decomposition, 2060> kDecompositions;
extern const std::array<Composition, 940> kCompositions;
extern const std::array<Lowering, 188> kLowerings;

}  // namespace sdrt::unicode
