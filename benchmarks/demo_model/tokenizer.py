"""CLIP-style byte-pair encoding learned from the captions: `vocab.json` and `merges.txt`."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
from transformers import CLIPTokenizer

from sdrt_bench.scenes.captions import caption
from sdrt_bench.scenes.grammar import sample_scene
from sdrt_export.sources.vocabulary import END, START, byte_letters

LENGTH = 77
WORD = re.compile(r"[a-z]+|[0-9]|[^\sa-z0-9]+")  # CLIP's split, as far as captions need it


def build_tokenizer(folder: Path, captions: int = 30_000) -> CLIPTokenizer:
    """Learn merges until each word of the captions is one token; others fall apart into pieces."""
    words = _count_words(captions)
    letters = byte_letters()
    spelled = {
        word: [letters[b] for b in word.encode()[:-1]] + [letters[word.encode()[-1]] + "</w>"]
        for word in words
    }
    merges = _learn_merges(spelled, words)
    tokens = [*letters.values(), *(letter + "</w>" for letter in letters.values())]
    tokens += ["".join(pair) for pair in merges] + [START, END]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    tokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=LENGTH)
    tokenizer.save_pretrained(folder)
    return tokenizer


def _count_words(captions: int) -> Counter[str]:
    rng = np.random.default_rng(0)
    count: Counter[str] = Counter()
    for _ in range(captions):
        text, _ = caption(sample_scene(rng), rng)
        count.update(WORD.findall(text))
    # Invented words are rare: they stay in pieces, as a stranger's words will.
    return Counter({word: n for word, n in count.items() if n >= 20})


def _learn_merges(spelled: dict[str, list[str]], words: Counter[str]) -> list[tuple[str, str]]:
    """Merge the most frequent neighbours until nothing is left to merge (Sennrich et al. 2016)."""
    merges: list[tuple[str, str]] = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, pieces in spelled.items():
            for pair in zip(pieces, pieces[1:], strict=False):
                pairs[pair] += words[word]
        if not pairs:
            return merges
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for word, pieces in spelled.items():
            spelled[word] = _merge(pieces, best)


def _merge(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged
