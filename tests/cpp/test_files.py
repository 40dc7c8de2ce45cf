"""SHA-256 in the C++ host."""

import hashlib
import random

from tests.cpp.commands import Ask


def test_hashes_are_those_of_hashlib(ask: Ask) -> None:
    texts = ["a" * n for n in (*range(130), 1000, 1 << 20)] + ["ü😀" * 33]
    answers = ask(*({"op": "sha256", "text": text} for text in texts))
    expected = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    assert [answer["result"] for answer in answers] == expected


def test_hashes_do_not_depend_on_the_processor(ask: Ask) -> None:
    draw = random.Random(0)
    state, data = [draw.getrandbits(32) for _ in range(8)], list(draw.randbytes(64 * 50))
    (answer,) = ask({"op": "blocks", "state": state, "bytes": data})
    fast, portable = answer["result"]
    assert fast == portable != state
