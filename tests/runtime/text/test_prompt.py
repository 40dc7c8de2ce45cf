"""Weights and chunks are read as AUTOMATIC1111's web UI reads them, and no text is an error."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdrt.artifact import Artifact
from sdrt.text.prompt import parse
from sdrt.text.tokenizer import Tokenizer, weighted


def read(text: str) -> list[Any]:
    (chunk,) = parse(text).chunks
    return [(fragment.text, pytest.approx(fragment.weight)) for fragment in chunk]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain words", [("plain words", 1)]),
        ("", []),
        ("a (loud) word", [("a ", 1), ("loud", 1.1), (" word", 1)]),
        ("a [quiet] word", [("a ", 1), ("quiet", 1 / 1.1), (" word", 1)]),
        ("(cat:1.3)", [("cat", 1.3)]),
        ("(cat: .5 )", [("cat", 0.5)]),
        ("(cat:-1)", [("cat", -1)]),
        ("((a) b)", [("a", 1.21), (" b", 1.1)]),
        ("((a:2) b:3)", [("a", 6), (" b", 3)]),
        ("[(a)]", [("a", 1)]),
        ("(one)(two)", [("onetwo", 1.1)]),
        (r"\(smile\) \[x\]", [("(smile) [x]", 1)]),
        (r"(a\):1.5)", [("a)", 1.5)]),
        ("open (end", [("open ", 1), ("end", 1.1)]),
        ("open [end", [("open ", 1), ("end", 1 / 1.1)]),
        ("a) b]", [("a) b]", 1)]),
        ("ratio 16:9", [("ratio 16:9", 1)]),
        ("at 10:30)", [("at 10:30)", 1)]),
        (
            "x (((house:1.3)) [on] a (hill:0.5), (((sky))).",
            [("x ", 1), ("house", 1.573), (" ", 1.1), ("on", 1), (" a ", 1.1)]
            + [("hill", 0.55), (", ", 1.1), ("sky", 1.4641), (".", 1.1)],
        ),
    ],
)
def test_weights(text: str, expected: list[tuple[str, float]]) -> None:
    assert read(text) == expected


def test_break_begins_a_chunk() -> None:
    prompt = parse("a boat BREAK (a sea BREAK a sun:2) BREAKFAST")
    texts = [[(f.text, f.weight) for f in chunk] for chunk in prompt.chunks]
    assert texts == [[("a boat", 1)], [("a sea", 2)], [("a sun", 2), (" BREAKFAST", 1)]]


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("(cat:1,5)", "'1,5' is no weight and was read as text"),
        ("a (cat", "'(' is never closed"),
        ("a [cat", "'[' is never closed"),
        ("(cat:2000)", "a weight of 2000 is limited to 1000"),
        ("(cat:-2000)", "a weight of -2000 is limited to 1000"),
        (f"((cat:0):{'9' * 400})", "a weight of inf is limited to 1000"),
        ("a (cat <lora:ink:0.8>:1.2) <lora:b:1>", "'<lora:ink:0.8>' was read as text; LoRAs are"),
    ],
)
def test_what_may_be_meant_otherwise_is_a_warning(text: str, warning: str) -> None:
    (message,) = parse(text).warnings
    assert warning in message


def test_no_text_is_an_error_and_none_is_lost() -> None:
    rng = random.Random(0)
    for _ in range(2000):
        text = "".join(rng.choices("ab ()[]\\:.15,é鯨🐳", k=rng.randrange(30)))
        kept = "".join(f.text for chunk in parse(text).chunks for f in chunk)
        letters = [c for c in text if c in "abé鯨🐳,"]
        assert [c for c in kept if c in "abé鯨🐳,"] == letters


@pytest.mark.parametrize("text", [f"(x:{'9' * 400})", "(" * 9000 + "x" + ")" * 9000, "(x:-1e9)"])
def test_no_weight_is_beyond_what_a_network_can_take(text: str) -> None:
    weights = [f.weight for chunk in parse(text).chunks for f in chunk]
    assert all(abs(weight) <= 1000 for weight in weights)


@pytest.mark.parametrize(
    ("text", "first", "last", "warnings"),
    [
        ("(a" * 50_000, 1.1, 1000, 3),
        ("([" * 50_000 + "a" + ":2)" * 50_000, 0, 0, 3),
        ("(a:" + "1" * 50_000, 1.1, 1.1, 1),
        ("(a" + ": " * 50_000 + ")", 1.1, 1.1, 0),
        ("a" + " " * 100_000, 1, 1, 0),
    ],
    ids=["unclosed", "two kinds", "digits", "colons", "spaces"],
)
def test_hostile_prompts_take_no_longer_than_others(
    text: str, first: float, last: float, warnings: int
) -> None:
    """Whatever grew with the square of their length would take minutes here."""
    prompt = parse(text)
    (chunk,) = prompt.chunks
    assert [chunk[0].weight, chunk[-1].weight] == pytest.approx([first, last])
    assert len(prompt.warnings) == warnings


@pytest.fixture
def tokenizer(demo: Artifact) -> Tokenizer:
    return Tokenizer(Path(demo.root) / "tokenizer", 77)


def test_long_prompts_become_chunks_that_lose_nothing(tokenizer: Tokenizer) -> None:
    words = ["boat"] * 160
    tokens = tokenizer.encode(parse(" ".join(words)))
    boat_tokens = tokenizer.encode(parse("boat"))
    start, boat, end = boat_tokens.ids[0, :3]
    assert tokens.ids.shape == tokens.weights.shape == (3, 77)
    assert np.count_nonzero(tokens.ids == boat) == len(words)
    assert set(tokens.ids[:, 0]) == {start}
    assert tokens.ids[0, -1] == tokens.ids[1, -1] == tokens.ids[2, 11] == end


def test_each_token_has_the_weight_of_its_fragment(tokenizer: Tokenizer) -> None:
    plain = tokenizer.encode(parse("a red boat on the sea"))
    heavy = tokenizer.encode(parse("a (red boat:1.5) on the sea"))
    np.testing.assert_array_equal(plain.ids, heavy.ids)
    expected = np.ones((1, 77), np.float32)
    expected[0, 2:4] = 1.5
    np.testing.assert_array_equal(heavy.weights, expected)
    assert np.all(plain.weights == 1)


def test_weighted_states_keep_their_mean() -> None:
    states = np.random.default_rng(0).standard_normal((1, 77, 8)).astype(np.float32) + 1
    weights = np.ones(77, np.float32)
    assert weighted(states, weights) is states
    weights[3] = 2
    result = weighted(states, weights)
    assert result.mean() == pytest.approx(states.mean(), rel=1e-5)
    ratio = result / states
    np.testing.assert_allclose(ratio[0, 3] / ratio[0, 4], 2, rtol=1e-5)


@pytest.mark.parametrize("last", [-0.5, np.nextafter(np.float32(-0.5), np.float32(0)), -0.4999])
def test_states_that_cancel_each_other_out_stay_finite_and_in_proportion(last: float) -> None:
    """The mean of the weighted states is zero, or so near to it that dividing by it is no use."""
    states = np.array([1, -0.5, 1, last], np.float32).reshape(1, 4, 1).repeat(8, axis=2)
    result = weighted(states, np.array([1, 2, 1, 2], np.float32))
    assert np.all(np.isfinite(result))
    assert np.abs(result).max() <= 2
    np.testing.assert_allclose(result[0, :, 0] / result[0, 0, 0], [1, -1, 1, 2 * last], rtol=1e-6)


def test_states_without_a_mean_are_weighted_all_the_same() -> None:
    states = np.array([1, -1], np.float32).reshape(1, 2, 1)
    np.testing.assert_array_equal(weighted(states, np.array([3, 3], np.float32)), states * 3)
    nothing = weighted(states, np.zeros(2, np.float32))
    np.testing.assert_array_equal(nothing, np.zeros((1, 2, 1)))
