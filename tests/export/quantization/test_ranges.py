"""Ranges of values, and scales of weights, that lose the least by rounding."""

import numpy as np
import numpy.typing as npt
import pytest

from sdrt_export.quantization.observation import (
    SAMPLES,
    Statistics,
)
from sdrt_export.quantization.ranges import (
    QuantizationRange,
    choose_range,
    round_weights,
    squared_error,
    weight_scales,
)
from tests.export.quantization.small_networks import Floats


def statistics_of(values: npt.NDArray[np.floating]) -> Statistics:
    """As from an observed graph: the ends, and samples."""
    samples = np.random.default_rng(0).choice(values.ravel(), SAMPLES)
    seen = np.array([values.min(), values.max(), *samples], np.float32)
    return Statistics.from_samples(seen, values.shape)


def rounded(values: Floats, range: QuantizationRange) -> Floats:
    levels = np.rint(values / range.scale) + np.float32(range.zero_point)
    read_back: Floats = (levels.clip(0, 255) - np.float32(range.zero_point)) * range.scale
    return read_back


@pytest.mark.parametrize("shift", [0.0, 2.0, -5.0, 30.0])
def test_zero_and_every_level_near_it_are_exact(shift: float) -> None:
    values = np.random.default_rng(0).normal(shift, 1, 20_000)
    chosen = choose_range(statistics_of(values))
    assert rounded(np.zeros(1, np.float32), chosen)[0] == 0
    assert chosen.low <= 0 <= chosen.high


def test_the_error_that_is_foretold_is_the_error_that_is_made() -> None:
    values = np.random.default_rng(1).laplace(0, 1, 100_000).astype(np.float32)
    for share in (1.0, 0.5, 0.2):
        tried = QuantizationRange(float(values.min()) * share, float(values.max()) * share)
        made = float(((rounded(values, tried) - values) ** 2).mean())
        assert squared_error(statistics_of(values), tried) == pytest.approx(made, rel=0.1)


def test_a_rare_great_value_does_not_make_all_others_coarse() -> None:
    values = np.random.default_rng(2).standard_normal(1_000_000).astype(np.float32)
    values[0] = 30
    chosen = choose_range(statistics_of(values))
    whole = QuantizationRange(float(values.min()), float(values.max()))
    error = float(((rounded(values, chosen) - values) ** 2).mean())
    assert chosen.high < 30
    assert error < float(((rounded(values, whole) - values) ** 2).mean()) / 2


def test_a_constant_tensor_has_a_range() -> None:
    for value in (0.0, 3.0, -3.0):
        chosen = choose_range(statistics_of(np.full(100, value)))
        assert rounded(np.full(1, value, np.float32), chosen)[0] == pytest.approx(value, rel=0.01)


def test_weights_are_rounded_for_each_output_of_its_own() -> None:
    weights = np.random.default_rng(3).standard_normal((4, 3, 3, 3)).astype(np.float32)
    weights *= np.array([1, 10, 100, 0], np.float32).reshape(4, 1, 1, 1)
    scales = weight_scales(weights, 0)
    stored = round_weights(weights, scales, 0)
    assert np.abs(stored).max(axis=(1, 2, 3)).tolist() == [127, 127, 127, 0]
    error = np.abs(stored * scales.reshape(4, 1, 1, 1) - weights).max(axis=(1, 2, 3))
    assert (error <= scales / 2 * 1.001).all()
