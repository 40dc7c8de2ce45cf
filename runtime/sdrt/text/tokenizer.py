"""CLIP's tokenizer, read from the artifact: text -> token ids and weights."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tokenizers

from sdrt.errors import ArtifactError
from sdrt.text.prompt import Prompt

TokenIds = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float32]
States = npt.NDArray[np.float32]
Words = Mapping[str, tuple[int, ...]]
"""Token ids of words that the vocabulary does not have, by the word in any case."""

VOCABULARY, MERGES = "vocab.json", "merges.txt"
END_OF_WORD = "</w>"
WORD = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"

# A mean that shrank by more has cancelled out, and restoring it would only blow up the states.
MAX_RESTORED = 100.0


@dataclass(frozen=True)
class Tokens:
    """The text encoder's inputs, and the weight of each token's state: (chunks, length)."""

    ids: TokenIds
    weights: Weights


class Tokenizer:
    """A CLIP tokenizer whose chunks are start token, text, end token and padding: `length` ids."""

    def __init__(self, folder: Path, length: int) -> None:
        special = _special_tokens(folder / "tokenizer_config.json")
        self._tokenizer = _read(folder, special)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._start, self._end, self._padding = (
            self._id(special, kind) for kind in ("bos_token", "eos_token", "pad_token")
        )
        self._length = length

    def encode(self, prompt: Prompt, words: Words | None = None) -> Tokens:
        """Turn a prompt into ids and weights; what does not fit into a chunk starts the next.

        The ids of one of `words` stay together in a chunk.
        """
        room, ids, weights = self._length - 2, [], []
        for fragments in prompt.chunks:
            rows: list[list[tuple[int, float]]] = [[]]
            for fragment in fragments:
                for group in self._groups(fragment.text, words or {}):
                    if len(rows[-1]) + len(group) > room:
                        rows.append([])
                    rows[-1] += [(token, fragment.weight) for token in group]
            for row in rows:
                padding = room - len(row)
                inner = [token for token, _ in row]
                ids.append([self._start, *inner, self._end, *[self._padding] * padding])
                weights.append([1.0, *[weight for _, weight in row], *[1.0] * (padding + 1)])
        return Tokens(np.array(ids, np.int64), np.array(weights, np.float32))

    def _groups(self, text: str, words: Words) -> Iterator[tuple[int, ...]]:
        """Ids that must stay together: all those of a word, any other by itself."""
        ids_by_word, done = {word.casefold(): ids for word, ids in words.items()}, 0
        for match in _pattern(words).finditer(text) if words else ():
            yield from self._plain(text[done : match.start()])
            yield ids_by_word[match[0].casefold()]
            done = match.end()
        yield from self._plain(text[done:])

    def _plain(self, text: str) -> Iterator[tuple[int]]:
        return ((token,) for token in self._tokenizer.encode(text, add_special_tokens=False).ids)

    @property
    def vocabulary(self) -> int:
        """How many token ids there are."""
        return int(self._tokenizer.get_vocab_size())

    def _id(self, special: dict[str, str], kind: str) -> int:
        token = self._tokenizer.token_to_id(special.get(kind, ""))
        if token is None:
            raise ArtifactError(
                f"the tokenizer has no {kind} ({special.get(kind)!r}); export the model again"
            )
        return int(token)


def _pattern(words: Words) -> re.Pattern[str]:
    """Matches any of the words as a whole word, the longest where several match."""
    longest_first = sorted(words, key=len, reverse=True)
    whole_words = (
        f"{_border('<!', word[0])}{re.escape(word)}{_border('!', word[-1])}"
        for word in longest_first
    )
    return re.compile("|".join(whole_words), re.IGNORECASE)


def _border(side: str, letter: str) -> str:
    return rf"(?{side}\w)" if re.match(r"\w", letter) else ""


def weighted(states: States, weights: Weights) -> States:
    """Scale each token's state by its weight, and then all states to restore their mean.

    States are (1, length, width), weights (length). Where the scaled states nearly cancel each
    other out, their mean is not restored.
    """
    if np.all(weights == 1):
        return states
    scaled: States = states * weights[:, None]
    before, after = (float(values.mean(dtype=np.float64)) for values in (states, scaled))
    if abs(before) >= MAX_RESTORED * abs(after):
        return scaled
    return scaled * np.float32(before / after)


def _read(folder: Path, special: Mapping[str, str]) -> tokenizers.Tokenizer:
    """Read `tokenizer.json`, or the vocabulary and the merges of older exports."""
    path = folder / "tokenizer.json"
    is_old = not path.exists() and (folder / VOCABULARY).exists()
    path = folder / VOCABULARY if is_old else path
    try:
        if is_old:
            return _clip(folder, set(special.values()))
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust side raises bare Exception
        raise ArtifactError(f"{path} cannot be read: {error}; export the model again") from error


def _clip(folder: Path, special: set[str]) -> tokenizers.Tokenizer:
    """CLIP's byte pair encoding (Radford et al. 2021, arXiv 2103.00020), as in transformers."""
    model = tokenizers.models.BPE.from_file(
        str(folder / VOCABULARY), str(folder / MERGES), end_of_word_suffix=END_OF_WORD
    )
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = tokenizers.normalizers.Sequence(
        [
            tokenizers.normalizers.NFC(),
            tokenizers.normalizers.Replace(tokenizers.Regex(r"\s+"), " "),
            tokenizers.normalizers.Lowercase(),
        ]
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Split(tokenizers.Regex(WORD), "removed", invert=True),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.add_special_tokens(
        [tokenizers.AddedToken(text, normalized=False, special=True) for text in sorted(special)]
    )
    return tokenizer


def _special_tokens(path: Path) -> dict[str, str]:
    """Special tokens by kind; older files hold each as an object with its text inside."""
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}; export the model again") from error
    return {
        kind: value["content"] if isinstance(value, dict) else value
        for kind, value in config.items()
        if kind.endswith("_token") and value
    }
