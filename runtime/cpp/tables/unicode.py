"""Writes `src/text/unicode_tables.cpp`: the Unicode data that the tokenizer needs.

    python tables/unicode.py > src/text/unicode_tables.cpp

The data comes from the library `tokenizers`, character by character, so that the C++ host reads a
prompt as Python does. The order into which it sorts combining marks shows their classes. Decimal
digits, which only weights in prompts need, are those of Python.
"""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

import tokenizers
from tokenizers import Regex
from tokenizers.normalizers import NFC, NFD, Lowercase, Replace

HANGUL = range(0xAC00, 0xD7A4)  # composed by arithmetic
CHARACTERS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
LOWEST, HIGHEST = "\u0334", "\u0345"  # marks of the classes 1 and 240, the first and last in order
WIDTH = 100

Row = Sequence[int]


def main() -> None:
    """Write the tables to the standard output."""
    marks = [c for c in CHARACTERS if nfd(chr(c)) == chr(c) and sorts(chr(c))]
    # A mark of each class, with which the others are compared.
    examples = {number: chr(c) for c in marks if (number := unicodedata.combining(chr(c)))}
    full = {c: text for c in CHARACTERS if (text := nfd(chr(c))) != chr(c) and c not in HANGUL}
    pairs = {c: halves(text, full) for c, text in full.items()}
    lower = {c: text for c in CHARACTERS if (text := lowered(chr(c))) != chr(c)}
    composed = sorted((*pairs[c], c) for c in full if len(full[c]) > 1 and nfc(chr(c)) == chr(c))
    print(HEAD.format(version=tokenizers.__version__))
    table("Range", "kLetters", ranges(matching(r"\p{L}")))
    table("Range", "kNumbers", ranges(matching(r"\p{N}")))
    table("Range", "kSpaces", ranges(matching(r"\s")))
    table("char32_t", "kZeros", (c for c in CHARACTERS if unicodedata.decimal(chr(c), 1) == 0))
    table("MarkClass", "kMarkClasses", classes({c: mark_class(chr(c), examples) for c in marks}))
    table("Decomposition", "kDecompositions", ((c, *pair) for c, pair in sorted(pairs.items())))
    table("Composition", "kCompositions", composed)
    table("Lowering", "kLowerings", lowerings({c: ord(t) for c, t in lower.items() if len(t) == 1}))
    assert {c: t for c, t in lower.items() if len(t) > 1} == {0x130: "i\u0307"}
    print("}  // namespace sdrt::unicode")


HEAD = """\
// Made by tables/unicode.py with tokenizers {version}; not to be edited.
//
// Derived from the Unicode Character Database. Copyright (c) 1991-2025 Unicode, Inc.; Unicode
// License V3 (tables/LICENSE), SPDX: Unicode-3.0.
#include "text/unicode_tables.hpp"

namespace sdrt::unicode {{
"""


def nfd(text: str) -> str:
    """Decompose a text."""
    return NFD().normalize_str(text)


def nfc(text: str) -> str:
    """Compose a text."""
    return NFC().normalize_str(text)


def lowered(text: str) -> str:
    """Convert a text to lower case."""
    return Lowercase().normalize_str(text)


def matching(pattern: str) -> Iterator[int]:
    """The characters that match a pattern."""
    remove = Replace(Regex(pattern), "")
    return (c for c in CHARACTERS if not remove.normalize_str(chr(c)))


def sorts(mark: str) -> bool:
    """Whether normalization sorts a character among other marks."""
    return nfd(mark + LOWEST) == LOWEST + mark or nfd(HIGHEST + mark) == mark + HIGHEST


def mark_class(mark: str, examples: dict[int, str]) -> int:
    """The class in whose marks this one is neither sorted forward nor backward."""
    (number,) = (
        number
        for number, other in examples.items()
        if nfd(mark + other) == mark + other and nfd(other + mark) == other + mark
    )
    return number


def halves(text: str, full: dict[int, str]) -> tuple[int, int]:
    """The two characters of a decomposition; the second is 0 if there is only one."""
    if len(text) == 1:
        return ord(text), 0
    if len(text) == 2:
        return ord(text[0]), ord(text[1])
    fronts = [c for c, decomposition in full.items() if decomposition == text[:-1]]
    return min(fronts, key=lambda c: nfc(chr(c)) != chr(c)), ord(text[-1])


def ranges(characters: Iterable[int]) -> Iterator[Row]:
    """First and last of each run of characters."""
    ordered = [-2, *characters, 0x110002]
    starts = [b for a, b in pairwise(ordered) if b > a + 1][:-1]
    ends = [a for a, b in pairwise(ordered) if b > a + 1][1:]
    return zip(starts, ends, strict=True)


def classes(marks: dict[int, int]) -> Iterator[Row]:
    """First, last and class of each run of marks."""
    return runs(marks, lambda c, number: number, 1)


def lowerings(lower: dict[int, int]) -> Iterator[Row]:
    """First, last, step and distance of each run of letters."""
    step_two = {c for c in lower if lower.get(c + 2, 0) - 2 == lower[c] == c + 1}
    step_two |= {c + 2 for c in step_two}
    for step, characters in ((1, lower.keys() - step_two), (2, step_two)):
        letters = {c: lower[c] for c in characters}
        for first, last, distance in runs(letters, lambda c, target: target - c, step):
            yield first, last, step, distance


def runs(numbers: dict[int, int], value: Callable[[int, int], int], step: int) -> Iterator[Row]:
    """First, last and value of each run of evenly spaced characters with the same value."""
    run: list[int] = []
    for c in sorted(numbers):
        current = value(c, numbers[c])
        if run and (c != run[1] + step or current != run[2]):
            yield tuple(run)
            run = []
        run = [run[0] if run else c, c, current]
    if run:
        yield tuple(run)


def table(kind: str, name: str, rows: Iterable[Row | int]) -> None:
    """Write a table with as many rows in a line as fit."""
    texts = [
        hexadecimal(row) if isinstance(row, int) else f"{{{', '.join(map(hexadecimal, row))}}}"
        for row in sorted(rows)  # type: ignore[type-var]
    ]
    print(f"const std::array<{kind}, {len(texts)}> {name}{{{{")
    line = "   "
    for text in texts:
        if len(line) + len(text) + 2 > WIDTH:
            print(line)
            line = "   "
        line += f" {text},"
    print(f"{line}\n}}}};\n")


def hexadecimal(number: int) -> str:
    """A number in the notation of C++."""
    return f"{number}" if -10 < number < 10 else f"{number:#x}"


if __name__ == "__main__":
    main()
