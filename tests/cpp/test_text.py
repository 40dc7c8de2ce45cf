"""Prompts and tokens: the C++ host gives the ids and weights of Python."""

import numpy as np
import pytest

from sdrt.artifact import Artifact
from sdrt.text.prompt import parse
from sdrt.text.tokenizer import Tokenizer, weighted
from tests.cpp.commands import Ask, array_json
from tests.cpp.prompts import thousand


def test_a_thousand_prompts_have_the_same_ids_and_weights(results: Ask, demo: Artifact) -> None:
    folder, prompts = demo.root / "tokenizer", thousand()
    tokenizer = Tokenizer(folder, 77)
    (answers,) = results({"op": "tokens", "folder": str(folder), "length": 77, "prompts": prompts})
    wrong = []
    for text, answer in zip(prompts, answers, strict=True):
        prompt = parse(text)
        tokens = tokenizer.encode(prompt)
        expected = {
            "chunks": [
                [[fragment.text, fragment.weight] for fragment in chunk] for chunk in prompt.chunks
            ],
            "warnings": prompt.warnings,
            "shape": list(tokens.ids.shape),
            "ids": tokens.ids.ravel().tolist(),
            "weights": tokens.weights.ravel().tolist(),
        }
        if answer != expected:
            wrong.append((text, expected, answer))
    assert not wrong, f"{len(wrong)} of {len(prompts)} differ; the first: {wrong[0]}"
    assert len(prompts) == 1000


def test_every_character_has_the_same_ids(results: Ask, demo: Artifact) -> None:
    """Alone and between letters, where its class decides what is one word."""
    folder = demo.root / "tokenizer"
    tokenizer = Tokenizer(folder, 77)
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000][::23]
    texts = [
        " ".join(f"a{c}b{c}" for c in characters[i : i + 500])
        for i in range(0, len(characters), 500)
    ]
    texts = [text.translate({ord(c): " " for c in "()[]\\:"}) for text in texts]
    (answers,) = results({"op": "tokens", "folder": str(folder), "length": 77, "prompts": texts})
    for text, answer in zip(texts, answers, strict=True):
        assert answer["ids"] == tokenizer.encode(parse(text)).ids.ravel().tolist(), ascii(text)


@pytest.mark.parametrize("kind", ["scaled", "cancelled", "plain"])
def test_states_are_weighted_alike(results: Ask, kind: str) -> None:
    random = np.random.default_rng(3)
    states = random.standard_normal((1, 77, 32)).astype(np.float32) + np.float32(0.2)
    weights = random.uniform(0.2, 2.0, 77).astype(np.float32)
    if kind == "plain":
        weights = np.ones(77, np.float32)
    if kind == "cancelled":
        states = np.ones((1, 2, 32), np.float32)
        weights = np.array([1, -1], np.float32)
    (answer,) = results(
        {"op": "weighted", "states": array_json(states), "weights": weights.tolist()}
    )
    np.testing.assert_allclose(answer, weighted(states, weights).ravel(), rtol=3e-7)
