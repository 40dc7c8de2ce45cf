"""A cut through a U-Net: deep features on one side, the layers that make the output on the other.

A U-Net joins its deep features, block by block upwards, with those of its first layers (skip
connections). From step to step the deep ones change little. So a network can be opened in two
forms: whole, with the deep features at one of these places among its outputs, and shallow, with the
same features as an input in place of all the layers that compute them (DeepCache: Ma et al. 2023,
arXiv 2312.00858). Both are made of the same file, when an engine opens it.
"""

from dataclasses import dataclass
from typing import Literal

from sdrt.errors import UnsupportedError

FEATURES = "deep_features"
"""Name of the output of the whole form, and of the input of the shallow one."""

SAMPLE = "sample"
"""Name of the input that all features depend on."""

FeatureForm = Literal["whole", "shallow"]


@dataclass(frozen=True)
class FeatureCut:
    """Where a network is cut, and which form it is opened in."""

    form: FeatureForm
    depth: int = 0
    """The skip connection, counted from the output; at a greater depth less is left out."""


def checked_depth(network: str, depth: int, skips: int) -> int:
    """The same depth; raises `UnsupportedError` for a network with fewer skip connections."""
    if depth < skips:
        return depth
    raise UnsupportedError(
        f"{network} cannot be cut at depth {depth}: it has {skips} places where deep features meet "
        "those of the first layers; "
        + (f"take a depth below {skips}" if skips else "leave the reuse of features out")
    )
