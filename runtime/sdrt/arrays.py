"""Array types that several packages name."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
"""An array of any type and shape."""
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Latents = npt.NDArray[np.floating[Any]]
"""(images, channels, height / 8, width / 8)."""
Embeddings = npt.NDArray[np.float32]
"""(images, tokens, width)."""
