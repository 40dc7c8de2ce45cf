"""Prompts as people write them since AUTOMATIC1111's web UI: weights in brackets, and BREAK.

`(word)` weighs 1.1, `[word]` 1/1.1, `(word:1.3)` 1.3, nested weights multiply, a backslash takes a
bracket literally, and the word BREAK in capitals begins a new chunk. No text is an error.
"""

import math
import re
from dataclasses import dataclass, field

STEP = 1.1
MAX_WEIGHT = 1000.0  # far above any sense, far below what overflows in a network
TOKEN = re.compile(
    r"(?P<literal>\\[()\[\]\\])"
    r"|(?P<weight>:\s*(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))\s*\))"
    r"|(?P<chunk>\s*\bBREAK\b\s*)"
    r"|(?P<bracket>[()\[\]])"
)
BAD_WEIGHT = re.compile(r":\s*([^\s:()\[\]]*\d[^\s:()\[\]]*)\s*$")


@dataclass
class Fragment:
    """A piece of a prompt that has one weight."""

    text: str
    weight: float = 1.0


@dataclass
class Prompt:
    """What a prompt says: fragments by chunk, and what in it may not be meant as it was read."""

    chunks: list[list[Fragment]] = field(default_factory=lambda: [[]])
    warnings: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Append text of weight one."""
        if text:
            self.chunks[-1].append(Fragment(text))

    def weigh(self, since: tuple[int, int], factor: float) -> None:
        """Multiply the weight of everything since a position, within limits."""
        chunk, start = since
        for i in range(chunk, len(self.chunks)):
            for fragment in self.chunks[i][start if i == chunk else 0 :]:
                fragment.weight = self._limited(fragment.weight * self._limited(factor))

    def _limited(self, weight: float) -> float:
        if abs(weight) <= MAX_WEIGHT:
            return weight
        warning = f"a weight of {weight:g} is limited to {MAX_WEIGHT:g}"
        if warning not in self.warnings:
            self.warnings.append(warning)
        return math.copysign(MAX_WEIGHT, weight)

    @property
    def position(self) -> tuple[int, int]:
        """Where the next fragment will stand: its chunk, its place in it."""
        return len(self.chunks) - 1, len(self.chunks[-1])


def parse(text: str) -> Prompt:
    """Read weights and chunks; brackets without a partner behave as in AUTOMATIC1111's web UI."""
    prompt, done = Prompt(), 0
    opened: dict[str, list[tuple[int, int]]] = {"(": [], "[": []}
    for token in TOKEN.finditer(text):
        before = text[done : token.start()]
        bracket, number = token["bracket"], token["number"]
        if bracket == ")" and opened["("] and (bad := BAD_WEIGHT.search(before)):
            prompt.warnings.append(f"{bad[1]!r} is no weight and was read as text")
        prompt.add(before)
        done = token.end()
        if token["literal"]:
            prompt.add(token["literal"][1])
        elif token["chunk"]:
            prompt.chunks.append([])
        elif number and opened["("]:
            prompt.weigh(opened["("].pop(), float(number))
        elif bracket in ("(", "["):
            opened[bracket].append(prompt.position)
        elif bracket == ")" and opened["("]:
            prompt.weigh(opened["("].pop(), STEP)
        elif bracket == "]" and opened["["]:
            prompt.weigh(opened["["].pop(), 1 / STEP)
        else:
            prompt.add(token[0])
    prompt.add(text[done:])
    for kind, factor in (("(", STEP), ("[", 1 / STEP)):
        for since in opened[kind]:
            prompt.warnings.append(f"{kind!r} is never closed and weighs everything after it")
            prompt.weigh(since, factor)
    prompt.chunks = [_merged(chunk) for chunk in prompt.chunks]
    return prompt


def _merged(fragments: list[Fragment]) -> list[Fragment]:
    """Join neighbours of one weight: a text is tokenised as a whole where it can be."""
    merged: list[Fragment] = []
    for fragment in fragments:
        if merged and merged[-1].weight == fragment.weight:
            merged[-1].text += fragment.text
        else:
            merged.append(fragment)
    return merged
