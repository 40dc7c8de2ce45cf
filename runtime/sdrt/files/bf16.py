"""Numbers of 16 bits with the exponent of fp32, which numpy does not know: the upper half of one.

They are held as their bits, in uint16.
"""

import numpy as np
import numpy.typing as npt

from sdrt.arrays import Floats

Bits = npt.NDArray[np.uint16]


def widened(bits: Bits) -> Floats:
    """The same numbers in fp32."""
    wide: Floats = (bits.astype(np.uint32) << 16).view(np.float32)
    return wide


def rounded_by_chance(numbers: Floats, seed: int) -> Bits:
    """Each finite number as one of its two neighbours, the nearer the likelier: right on average.

    What is added to numbers of 8 bits is often less than half of their last one. Rounded to the
    nearest it would be lost from all of them; so it shows in as many as it should.
    """
    low = np.random.default_rng(seed).integers(0, 1 << 16, numbers.shape, np.uint16)
    bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32) + low
    upper: Bits = (bits >> 16).astype(np.uint16)
    return upper
