"""Numbers in bf16 have the bits that torch gives them."""

import numpy as np
import torch

from sdrt.backends.weight_patches import rounded_at_random
from sdrt.files.safetensors import widened


def test_bits_are_those_of_torch() -> None:
    numbers = torch.randn(1000, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    bits = numbers.view(torch.int16).numpy().view(np.uint16)
    assert np.array_equal(widened(bits), numbers.float().numpy())
    assert np.array_equal(rounded_at_random(widened(bits), 0), bits)
