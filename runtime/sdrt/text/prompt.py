"""The prompt syntax of AUTOMATIC1111's web UI: weights in brackets, and BREAK.

`(word)` has the weight 1.1, `[word]` 1/1.1 and `(word:1.3)` 1.3; nested weights multiply. A bracket
after a backslash is literal, and the word BREAK in capitals starts a new chunk. Any text is valid.
Prompt files have one prompt a line.
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from sdrt.errors import UsageError
from sdrt.files.text_file import read_text

STEP = 1.1
MAX_WEIGHT = 1000.0  # far above useful weights, far below those that overflow in a network
# Possessive quantifiers never backtrack, so the time is linear in the length of the prompt.
TOKEN = re.compile(
    r"(?P<literal>\\[()\[\]\\])"
    r"|(?P<weight>:\s*+(?P<number>[+-]?(?:\d++\.?\d*+|\.\d++))\s*+\))"
    r"|(?P<chunk>(?:(?<!\s)\s++)?\bBREAK\b\s*+)"
    r"|(?P<bracket>[()\[\]])"
)
LORA = re.compile(r"<lora:[^<>]++>")
BAD_WEIGHT = re.compile(r":\s*+((?=[^\s:()\[\]\d]*+\d)[^\s:()\[\]]++)\s*+$")


@dataclass
class Fragment:
    """A piece of a prompt with one weight."""

    text: str
    weight: float = 1.0


@dataclass
class Prompt:
    """A parsed prompt: the fragments of each chunk, and warnings about what may be a mistake."""

    chunks: list[list[Fragment]] = field(default_factory=lambda: [[]])
    warnings: list[str] = field(default_factory=list)

    def warn(self, warning: str) -> None:
        """Add a warning unless there is the same already."""
        if warning not in self.warnings:
            self.warnings.append(warning)


def parse(text: str) -> Prompt:
    """Parse weights and chunks; unmatched brackets behave as in AUTOMATIC1111's web UI."""
    reader, done = _Reader(), 0
    for token in TOKEN.finditer(text):
        reader.read(text[done : token.start()], token)
        done = token.end()
    reader.add(text[done:])
    return reader.finish()


class _Reader:
    """The state of parsing: the fragments so far, and the brackets around them."""

    def __init__(self) -> None:
        self._prompt = Prompt()
        self._fragments: list[Fragment] = []
        self._opened: dict[str, list[int]] = {"(": [], "[": []}
        # Index of the first fragment, index after the last, factor; inner brackets come first.
        self._closed: dict[str, list[tuple[int, int, float]]] = {"(": [], "[": []}

    def read(self, before: str, token: re.Match[str]) -> None:
        """Add a token with a meaning, and the text before it."""
        bracket, number = token["bracket"], token["number"]
        if bracket == ")" and self._opened["("] and (bad := BAD_WEIGHT.search(before)):
            self._prompt.warn(f"{bad[1]!r} is no weight and was read as text")
        self.add(before)
        if token["literal"]:
            self.add(token["literal"][1])
        elif token["chunk"]:
            self._prompt.chunks.append([])
        elif number and self._opened["("]:
            self._close("(", float(number))
        elif bracket in ("(", "["):
            self._opened[bracket].append(len(self._fragments))
        elif bracket == ")" and self._opened["("]:
            self._close("(", STEP)
        elif bracket == "]" and self._opened["["]:
            self._close("[", 1 / STEP)
        else:
            self.add(token[0])

    def add(self, text: str) -> None:
        """Append text."""
        if text:
            self._fragments.append(Fragment(text))
            self._prompt.chunks[-1].append(self._fragments[-1])

    def finish(self) -> Prompt:
        """Compute the weights of the fragments, and join neighbours of equal weight."""
        matches = (LORA.search(fragment.text) for fragment in self._fragments)
        if name := next((match[0] for match in matches if match), None):
            self._prompt.warn(f"{name!r} was read as text; LoRAs are given as --lora FILE:WEIGHT")
        for kind, factor in (("(", STEP), ("[", 1 / STEP)):
            while self._opened[kind]:
                self._prompt.warn(f"{kind!r} is never closed and weighs everything after it")
                self._close(kind, factor)
            self._weigh(self._closed[kind])
        self._prompt.chunks = [_merged(chunk) for chunk in self._prompt.chunks]
        return self._prompt

    def _close(self, kind: str, factor: float) -> None:
        self._closed[kind].append((self._opened[kind].pop(), len(self._fragments), factor))

    def _weigh(self, brackets: list[tuple[int, int, float]]) -> None:
        """Multiply the weights by the factors of one kind of brackets, which nest.

        It takes one pass: a stack holds the ends of the brackets around a fragment, and their
        product.
        """
        waiting = sorted(brackets, key=lambda bracket: bracket[0], reverse=True)  # outer ones last
        around = [(len(self._fragments), 1.0)]
        for i, fragment in enumerate(self._fragments):
            while around[-1][0] <= i:
                around.pop()
            while waiting and waiting[-1][0] <= i:
                _, end, factor = waiting.pop()
                if end > i:
                    around.append((end, self._limited(around[-1][1] * self._limited(factor))))
            fragment.weight = self._limited(fragment.weight * around[-1][1])

    def _limited(self, weight: float) -> float:
        if abs(weight) <= MAX_WEIGHT:
            return weight
        self._prompt.warn(f"a weight of {weight:g} is limited to {MAX_WEIGHT:g}")
        return math.copysign(MAX_WEIGHT, weight)


def _merged(fragments: list[Fragment]) -> list[Fragment]:
    """Join neighbours of equal weight, so that text is tokenized in pieces as large as possible."""
    merged: list[Fragment] = []
    for fragment in fragments:
        if merged and merged[-1].weight == fragment.weight:
            merged[-1].text += fragment.text
        else:
            merged.append(fragment)
    return merged


def read_prompts(path: Path, otherwise: str) -> tuple[str, ...]:
    """The lines that are not blank; raises `UsageError` for a file without any, or not of text.

    `otherwise` says in messages what a caller may give in place of a file.
    """
    try:
        text = read_text(path, "a list of prompts").removeprefix("\ufeff")
    except UsageError as error:
        raise UsageError(
            f"{error}; give a text file with one prompt a line, or {otherwise}"
        ) from error
    if any(not (letter.isprintable() or letter.isspace()) for letter in text):
        raise UsageError(f"{path} is not text; expected one prompt a line")
    prompts = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not prompts:
        raise UsageError(f"{path} holds no prompt; expected one a line")
    return prompts
