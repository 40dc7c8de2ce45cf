"""SSIM is that of scikit-image."""

import pytest
from skimage.metrics import structural_similarity

from sdrt_bench.similarity import ssim
from tests.benchmarks.test_similarity import pictures


def test_ssim_is_that_of_scikit_image() -> None:
    x, y = pictures()
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = structural_similarity(x, y, channel_axis=2, data_range=255, **options)
    assert ssim(x, y) == pytest.approx(expected, abs=1e-7)
