"""Figures of fidelity are what their definitions say."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from sdrt_bench.similarity import Pixels, Spread, latent_psnr_db, psnr_db, ssim


def pictures(height: int = 40, width: int = 32) -> tuple[Pixels, Pixels]:
    """A smooth picture and a noisy, darker copy."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(20, 230, height)[:, None, None] + np.linspace(0, 20, width)[:, None]
    clean = np.broadcast_to(ramp, (height, width, 3)).astype(np.uint8)
    noise = rng.normal(-6, 12, clean.shape)
    return clean, (clean + noise).clip(0, 255).astype(np.uint8)


def direct_ssim(x: Pixels, y: Pixels) -> float:
    """Equations 6 and 13 of the paper, window by window."""
    at = np.arange(11) - 5
    window = np.exp(-(at[:, None] ** 2 + at**2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for row in range(x.shape[0] - 10):
        for column in range(x.shape[1] - 10):
            for channel in range(3):
                cut = np.s_[row : row + 11, column : column + 11, channel]
                a, b = x[cut].astype(float), y[cut].astype(float)
                mean_a, mean_b = (window * a).sum(), (window * b).sum()
                var_a = (window * (a - mean_a) ** 2).sum()
                var_b = (window * (b - mean_b) ** 2).sum()
                both = (window * (a - mean_a) * (b - mean_b)).sum()
                values.append(
                    (2 * mean_a * mean_b + c1)
                    * (2 * both + c2)
                    / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
                )
    return float(np.mean(values))


def test_psnr_of_pictures_that_differ_by_one_everywhere() -> None:
    grey = np.full((8, 8, 3), 100, np.uint8)
    assert psnr_db(grey, grey + 1) == pytest.approx(20 * math.log10(255))
    assert psnr_db(grey + 1, grey) == psnr_db(grey, grey + 1)  # no unsigned wrap
    assert psnr_db(grey, grey) == math.inf


def test_a_tenth_of_the_error_is_twenty_decibels() -> None:
    signal = np.linspace(-1, 1, 50)
    assert psnr_db(signal, signal + 0.01, 2) - psnr_db(signal, signal + 0.1, 2) == pytest.approx(20)


def test_the_peak_of_latents_is_the_range_of_the_expected() -> None:
    latents = np.array([[-3.0, 1.0], [0.0, 2.0]], np.float32)
    assert latent_psnr_db(latents, latents + 0.05) == pytest.approx(20 * math.log10(5 / 0.05), 1e-5)
    # Whatever the latents of a step are scaled by.
    other = latents + np.array([[0.1, 0.0], [-0.2, 0.3]], np.float32)
    assert latent_psnr_db(7 * latents, 7 * other) == pytest.approx(latent_psnr_db(latents, other))
    assert latent_psnr_db(np.zeros(4), np.ones(4)) == -math.inf


def test_ssim_is_the_papers_formula() -> None:
    x, y = pictures()
    value = ssim(x, y)
    assert value == pytest.approx(direct_ssim(x, y), abs=1e-9)
    assert 0.1 < value < 0.9
    assert ssim(y, x) == pytest.approx(value)
    assert ssim(x, x) == pytest.approx(1)


def test_ssim_sees_structure_where_the_error_is_the_same() -> None:
    x, _ = pictures()
    brighter = x + np.uint8(5)
    checkered = (x + 5 * (-1) ** np.indices(x.shape).sum(axis=0)).astype(np.uint8)
    assert psnr_db(x, brighter) == pytest.approx(psnr_db(x, checkered))
    assert ssim(x, brighter) > 0.98 > 0.9 > ssim(x, checkered)


@pytest.mark.parametrize("measure", [psnr_db, latent_psnr_db, ssim])
def test_pictures_of_different_sizes_are_refused(
    measure: Callable[[Pixels, Pixels], float],
) -> None:
    with pytest.raises(ValueError, match="cannot compare shapes"):
        measure(np.zeros((16, 16, 3), np.uint8), np.zeros((16, 1, 3), np.uint8))


def test_pictures_smaller_than_the_window_are_refused() -> None:
    small = np.zeros((10, 40, 3), np.uint8)
    with pytest.raises(ValueError, match="from 11x11 pixels on"):
        ssim(small, small)


def test_a_spread_is_numpys_quantiles() -> None:
    values = np.random.default_rng(1).normal(size=37).tolist()
    spread = Spread.from_values(values)
    expected = np.quantile(values, [0, 0.1, 0.5, 0.9, 1])
    assert [spread.min, spread.p10, spread.median, spread.p90, spread.max] == pytest.approx(
        expected
    )
    assert Spread.from_values([4.0]) == Spread(4, 4, 4, 4, 4)
    assert Spread.from_values([1.0, 2.0]).median == 1.5


def test_a_spread_knows_infinite_values() -> None:
    assert Spread.from_values([math.inf] * 3) == Spread(*[math.inf] * 5)
    spread = Spread.from_values([30.0, 40.0, math.inf, math.inf])
    assert (spread.min, spread.median, spread.max) == (30.0, math.inf, math.inf)
