"""The runtime's token ids are those of transformers' CLIP tokenizer, on CLIP's whole vocabulary."""

import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from transformers import CLIPTokenizer

from sdrt.text.prompt import parse
from sdrt.text.tokenizer import Tokenizer
from sdrt_export.presets import read_preset
from sdrt_export.sources.random_weights import RandomCheckpoint
from sdrt_export.sources.vocabulary import clip_tokenizer

START, END = 49406, 49407
ALPHABETS = [
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "0123456789٣५½²Ⅷ",
    "äöüßÉçñøžŁİıςΣΩжЩ",
    "鯨海の夕焼け漁船빨간배红色的船",
    "🐳🚢👩‍🚀🏴‍☠️🇫🇷👍🏽",
    "e\u0301a\u0308o\u0338\u0323\u20dd\u200d\ufe0f\u0f71\u1161\u11a8",
    "\x00\x01\x07\x1b\x7f\x85\u200b\u202e\u2066\ufeff\ufffd",
    " \t\n\r\x0b\x0c\xa0\u2003\u2028\u3000",
    ".,;:!?'\"`~@#$%^&*-_=+<>/|{}()[]\\",
    "\U0001d573\U0001f170ﬁﷺǅ\u212b\u2126",
]
WORDS = """a red boat on the sea at sunset masterpiece it's don't we've I'LL trending artstation 8k
uhd photograph antidisestablishmentarianism <|endoftext|> <|startoftext|> 1girl f/1.8 50mm
hyper-detailed </w> naïve Überseehafen</w> ... !!! $100 C++
https://example.org/x?y=z 's 'S ' by""".split()


@pytest.fixture(scope="module")
def theirs() -> CLIPTokenizer:
    return clip_tokenizer()


@pytest.fixture(scope="module")
def ours(theirs: CLIPTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    theirs.save_pretrained(folder)
    return Tokenizer(folder, 77)


def texts(count: int) -> list[str]:
    """Words and letters of all kinds; one in ten is longer than a chunk."""
    rng = random.Random(20)

    def piece() -> str:
        if rng.random() < 0.5:
            return rng.choice(WORDS)
        letters = rng.choice(ALPHABETS)
        return "".join(rng.choices(letters, k=rng.randrange(1, 8)))

    made = []
    for _ in range(count):
        pieces = [piece() for _ in range(rng.randrange(80, 200) if rng.random() < 0.1 else 12)]
        made.append("".join(p + rng.choice(["", " ", ", ", "\n"]) for p in pieces))
    return made


def literal(text: str) -> str:
    """A prompt that says this text, brackets and all."""
    return re.sub(r"([()\[\]\\])", r"\\\1", text)


def inner(ours: Tokenizer, prompt: str) -> list[int]:
    """The ids of all chunks without their start, end and padding.

    Padding looks like end tokens that the text itself closes with, so these are cut off as well.
    """
    tokens = ours.encode(parse(prompt))
    for row in tokens.ids[:-1]:
        assert (row[0], row[-1]) == (START, END)
    *full, last = tokens.ids.tolist()
    while last[-2:] == [END, END]:
        last.pop()
    ids: list[int] = [token for row in full for token in row[1:-1]]
    ids += last[1:-1]
    return ids


def untruncated(theirs: CLIPTokenizer, text: str) -> list[int]:
    ids: list[int] = theirs(text, add_special_tokens=False, truncation=False).input_ids
    while ids and ids[-1] == END:  # as `inner` does
        ids.pop()
    return ids


def test_2000_texts_give_the_ids_of_transformers(ours: Tokenizer, theirs: CLIPTokenizer) -> None:
    fitting = 0
    for text in texts(2000):
        expected = theirs(text, padding="max_length", max_length=77).input_ids
        if len(expected) == 77:
            np.testing.assert_array_equal(ours.encode(parse(literal(text))).ids, [expected], text)
            fitting += 1
        else:
            assert inner(ours, literal(text)) == untruncated(theirs, text), text
    assert 1500 < fitting < 1950


@pytest.mark.parametrize("weigh", [lambda word: f"({word}:1.3)", lambda word: f"[{word}]"])
def test_weights_between_spaces_leave_the_ids_alone(
    ours: Tokenizer, theirs: CLIPTokenizer, weigh: Callable[[str], str]
) -> None:
    rng = random.Random(4)
    for text in texts(300):
        words = text.split()
        weighed = [weigh(literal(w)) if rng.random() < 0.4 else literal(w) for w in words]
        prompt, plain = " ".join(weighed), " ".join(words)
        assert inner(ours, prompt) == untruncated(theirs, plain), prompt


def test_weights_may_take_the_space_along(ours: Tokenizer) -> None:
    plain = ours.encode(parse("a red boat on the sea")).ids
    for prompt in (
        "a (red boat:1.5) on the sea",
        "a( red boat :1.5)on the sea",
        "a [red ](boat )on the sea",
    ):
        np.testing.assert_array_equal(ours.encode(parse(prompt)).ids, plain)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Hello World!", [3306, 1002, 256]),
        ("a diagram", [320, 22697]),
        ("a photo of a cat", [320, 1125, 539, 320, 2368]),
    ],
)
def test_the_ids_are_those_that_clip_published(ours: Tokenizer, text: str, ids: list[int]) -> None:
    expected = [START, *ids, *[END] * (76 - len(ids))]
    np.testing.assert_array_equal(ours.encode(parse(text)).ids, [expected])


def test_random_weights_of_clips_geometry_come_with_clips_words(theirs: CLIPTokenizer) -> None:
    checkpoint = RandomCheckpoint.from_preset(*read_preset("sd15"))
    assert checkpoint.tokenizer().get_vocab() == theirs.get_vocab()
    other = {**checkpoint.configs["text_encoder"], "bos_token_id": 0}
    configs = {**checkpoint.configs, "text_encoder": other}
    assert len(replace(checkpoint, configs=configs).tokenizer()) == 514


def test_the_order_of_the_vocabulary(theirs: CLIPTokenizer) -> None:
    by_id = sorted(theirs.get_vocab(), key=theirs.get_vocab().__getitem__)
    assert len(by_id) == 49408
    assert by_id[:3] + by_id[255:258] + by_id[511:514] == (
        ["!", '"', "#", "Ń", "!</w>", '"</w>', "Ń</w>", "in", "th"]
    )
    assert by_id[-3:] == ["jekyll</w>", "<|startoftext|>", "<|endoftext|>"]


def test_the_licence_lies_beside_the_vocabulary() -> None:
    import sdrt_export.sources.vocabulary

    folder = Path(sdrt_export.sources.vocabulary.__file__).parents[1] / "clip_vocabulary"
    text = (folder / "LICENSE").read_text()
    assert "Copyright (c) 2021 OpenAI" in text
    assert "Permission is hereby granted, free of charge" in text
