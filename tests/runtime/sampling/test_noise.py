"""Seeds give the same noise everywhere: whatever the batch, and without a global generator."""

import numpy as np
import pytest

from sdrt.errors import UsageError
from sdrt.sampling.noise import MAX_SEED, Noise, NormalStream


def test_an_images_noise_does_not_depend_on_its_batch() -> None:
    batch = Noise([3, 4, 5])
    first, second = batch.draw((4, 8, 8)), batch.draw((4, 8, 8))
    alone = Noise([4])
    np.testing.assert_array_equal(first[1:2], alone.draw((4, 8, 8)))
    np.testing.assert_array_equal(second[1:2], alone.draw((4, 8, 8)))


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(UsageError, match="expected a whole number from 0"):
        NormalStream(seed)


def test_nothing_touches_numpys_global_generator() -> None:
    np.random.seed(5)
    expected = np.random.random(3)
    np.random.seed(5)
    NormalStream(9).draw((4, 8, 8))
    np.testing.assert_array_equal(np.random.random(3), expected)
