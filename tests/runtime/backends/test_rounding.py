"""Rounding to bf16 at random is right on average, and the same for the same seed."""

import numpy as np

from sdrt.backends.weight_patches import rounded_at_random
from sdrt.files.safetensors import widened


def test_a_number_becomes_one_of_its_neighbours_and_on_average_itself() -> None:
    """At 1 the neighbours are 1/128 apart."""
    share = 0.1
    for sign in (1, -1):
        numbers = np.full(100_000, sign * (1 + share / 128), np.float32)
        values = widened(rounded_at_random(numbers, 1))
        assert set(values) == {np.float32(sign), np.float32(sign * (1 + 1 / 128))}
        assert abs((np.abs(values) - 1).mean() * 128 - share) < 0.005


def test_the_same_seed_rounds_alike() -> None:
    numbers = np.random.default_rng(0).standard_normal((30, 40), np.float32)
    assert np.array_equal(rounded_at_random(numbers, 5), rounded_at_random(numbers, 5))
    assert not np.array_equal(rounded_at_random(numbers, 5), rounded_at_random(numbers, 6))
