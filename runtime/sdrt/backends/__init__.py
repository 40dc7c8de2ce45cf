"""Engines that run networks: the seam `Graph.run`, and the choice of a backend.

`graph` and `backend` define the seam, `fake` implements it for tests, `onnxruntime` and `openvino`
for the two engines. The other modules describe networks to engines and executed kernels to callers.
"""

from sdrt.arrays import Array
from sdrt.backends.backend import (
    BACKENDS,
    Backend,
    is_installed,
    open_backend,
    usable_backends,
)
from sdrt.backends.graph import (
    Graph,
    Network,
    Shapes,
    WeightPatches,
    check_feeds,
    check_shapes,
    first_nonfinite,
)

Changes = WeightPatches

__all__ = [
    "BACKENDS",
    "Array",
    "Backend",
    "Changes",
    "Graph",
    "Network",
    "Shapes",
    "check_feeds",
    "check_shapes",
    "first_nonfinite",
    "is_installed",
    "open_backend",
    "usable_backends",
]
