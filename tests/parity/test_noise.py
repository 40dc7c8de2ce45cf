"""Seeds give the noise that torch gives, bit for bit."""

import numpy as np
import pytest
import torch

from sdrt.sampling.noise import MAX_SEED, NormalStream

SHAPES = [(4, 16, 16), (4, 64, 64), (1,), (5,), (15,), (16,), (17,), (31,), (3, 7, 11), (10007,)]


SEEDS = [0, 1, 42, 2**31, 2**32 - 1, 2**32, 2**40 + 5, MAX_SEED]


def bits(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32).view(np.int32)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stream_equals_torch_bit_for_bit(seed: int) -> None:
    generator = torch.Generator("cpu").manual_seed(seed)
    stream = NormalStream(seed)
    for shape in SHAPES:  # one after the other from the same stream, small and large mixed
        expected = torch.randn(shape, generator=generator).numpy()
        np.testing.assert_array_equal(bits(stream.draw(shape)), bits(expected))


def test_10_000_draws_over_40_shapes_equal_torch_bit_for_bit() -> None:
    """Both of torch's ways, up to fifteen numbers and from sixteen on, and latents of all sizes."""
    rng = np.random.default_rng(0)
    few = [(n,) for n in range(1, 16)]
    many = [(n,) for n in (16, 17, 31, 32, 33, 255, 1000)]
    latents = [(4, h, w) for h in (8, 9, 16) for w in (8, 16, 25)]
    others = [(1, 4, 8, 8), (2, 3), (3, 5, 7), (16, 16), (2, 8), (4, 1, 1), (3, 1, 2), (1, 1)]
    shapes = [*few, *many, *latents, *others, (9, 8, 8)]
    assert len(set(shapes)) == 40
    equal = 0
    for seed in rng.integers(0, MAX_SEED, 250).tolist():
        generator, stream = torch.Generator("cpu").manual_seed(seed), NormalStream(seed)
        for shape in shapes:
            expected = torch.randn(shape, generator=generator).numpy()
            equal += np.array_equal(bits(stream.draw(shape)), bits(expected))
    assert equal == 10_000
