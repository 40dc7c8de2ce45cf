"""Noise from seeds, bit for bit that of `torch.randn` on an x86 CPU, without torch.

torch draws with the Mersenne Twister mt19937 and turns pairs of uniform numbers into normal ones
(Box and Muller 1958). For 16 and more numbers it does so in float32 with the polynomials of the
Cephes library (Moshier 1989), eight at a time, in code compiled for AVX2 with fused multiply-adds;
both are rebuilt here, since any other logarithm or sine differs in the last bit.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sdrt.arrays import Floats
from sdrt.errors import UsageError

MAX_SEED = 2**63 - 1


class Noise:
    """Random streams of a batch: each image has its own, independent of the others."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._streams = [NormalStream(seed) for seed in seeds]

    def draw(self, shape: Sequence[int]) -> Floats:
        """Draw standard normal noise of `shape` for every image: (images, *shape)."""
        return np.stack([stream.draw(shape) for stream in self._streams])


class NormalStream:
    """The stream of `torch.randn` in float32 after `torch.Generator("cpu").manual_seed(seed)`.

    Like torch, uses the seed's lower 32 bits. Raises `UsageError` outside 0 .. 2**63 - 1.
    """

    def __init__(self, seed: int) -> None:
        if not 0 <= seed <= MAX_SEED:
            raise UsageError(f"seed is {seed}; expected a whole number from 0 to {MAX_SEED}")
        self._bits = np.random.MT19937()
        legacy: Any = np.random.RandomState(seed & 0xFFFFFFFF).get_state(legacy=False)
        self._bits.state = legacy
        self._spare: float | None = None  # small draws come in pairs; the second is kept

    def draw(self, shape: Sequence[int]) -> Floats:
        """Draw the next array of standard normal numbers."""
        count = int(np.prod(shape, dtype=np.int64))
        drawn = self._draw_many(count) if count >= 16 else self._draw_few(count)
        return drawn.reshape(shape)

    def _draw_many(self, count: int) -> Floats:
        uniform = self._uniform(count)
        whole = count - count % 16
        normal = np.empty(count, np.float32)
        normal[:whole] = _box_muller(uniform[:whole])
        if whole < count:  # torch draws the last sixteen anew
            normal[-16:] = _box_muller(self._uniform(16))
        return normal

    def _uniform(self, count: int) -> Floats:
        """24 bits each, in [0, 1)."""
        bits = self._bits.random_raw(count).astype(np.uint32) & np.uint32(0xFFFFFF)
        return bits.astype(np.float32) * np.float32(2**-24)

    def _draw_few(self, count: int) -> Floats:
        return np.array([self._draw_one() for _ in range(count)], np.float32)

    def _draw_one(self) -> float:
        if self._spare is not None:
            normal, self._spare = self._spare, None
            return normal
        u1, u2 = self._uniform_double(), self._uniform_double()
        radius = np.sqrt(-2.0 * np.log1p(-u2))
        theta = 2.0 * np.pi * u1
        self._spare = float(radius * np.sin(theta))
        return float(radius * np.cos(theta))

    def _uniform_double(self) -> float:
        """53 bits in [0, 1)."""
        high, low = (int(v) for v in self._bits.random_raw(2))
        return ((high << 32 | low) & (2**53 - 1)) * 2.0**-53


def _box_muller(uniform: Floats) -> Floats:
    """Turn groups of sixteen uniform numbers into sixteen normal ones."""
    pairs = uniform.reshape(-1, 2, 8)
    u1, u2 = np.float32(1) - pairs[:, 0], pairs[:, 1]
    radius = np.sqrt(np.float32(-2) * _log(u1))
    sine, cosine = _sine_cosine(np.float32(2 * np.pi) * u2)
    # torch scales by a deviation of one and adds a mean of zero, which turns -0 into 0.
    return np.stack([radius * cosine, radius * sine], axis=1).reshape(-1) + np.float32(0)


def _fma(a: Floats, b: Floats | np.float32, c: Floats | np.float32) -> Floats:
    """`a * b + c` rounded once, as the fused instruction does."""
    # The product of two float32 is exact in float64; the sum is rounded to 53 bits there and to
    # 24 bits after. Two roundings differ from one only if the first hits the middle between two
    # float32: then the sign of what the first one lost decides.
    product = np.multiply(a, b, dtype=np.float64)
    addend = np.asarray(c, np.float64)
    total = product + addend
    middle = (total.view(np.int64) & 0x1FFFFFFF) == 0x10000000
    if middle.any():
        part = total - product
        lost = (product - (total - part)) + (addend - part)
        nudged = np.nextafter(total, np.copysign(np.inf, lost))
        total = np.where(middle & (lost != 0), nudged, total)
    return total.astype(np.float32)


# Coefficients from the Cephes mathematical library, single precision.
_LOG = np.array(
    [7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1]
    + [-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1],
    np.float32,
)
_LOG2_HIGH, _LOG2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_SINE = np.array([-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1], np.float32)
_COSINE = np.array([2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2], np.float32)
_QUARTER_PI = np.array([0.78515625, 2.4187564849853515625e-4, 3.77489497744594108e-8], np.float32)


def _polynomial(x: Floats, coefficients: Floats) -> Floats:
    y = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        y = _fma(y, x, coefficient)
    return y


def _log(x: Floats) -> Floats:
    """Natural logarithm of x in (0, 1]."""
    mantissa, exponent = np.frexp(x)
    is_small = mantissa < np.float32(np.sqrt(0.5))
    e = exponent.astype(np.float32) - is_small
    f = (mantissa - np.float32(1)) + np.where(is_small, mantissa, np.float32(0))
    z = f * f
    y = _polynomial(f, _LOG) * f
    y = _fma(y, z, e * _LOG2_LOW)
    y = _fma(z, np.float32(-0.5), y)
    return _fma(e, _LOG2_HIGH, f + y)


def _sine_cosine(x: Floats) -> tuple[Floats, Floats]:
    """Sine and cosine of x in [0, 2 pi)."""
    octant = (x * np.float32(4 / np.pi)).astype(np.int32)
    octant = (octant + 1) & ~1
    turns = octant.astype(np.float32)
    for part in _QUARTER_PI:
        x = _fma(turns, -part, x)
    z = x * x
    cosine = _polynomial(z, _COSINE) * z
    cosine = _fma(cosine, z, z * np.float32(-0.5)) + np.float32(1)
    sine = _fma(_polynomial(z, _SINE) * z, x, x)
    is_swapped = (octant & 2) != 0
    sine_sign = np.where(octant & 4, np.float32(-1), np.float32(1))
    cosine_sign = np.where((octant - 2) & 4, np.float32(1), np.float32(-1))
    return (
        np.where(is_swapped, cosine, sine) * sine_sign,
        np.where(is_swapped, sine, cosine) * cosine_sign,
    )
