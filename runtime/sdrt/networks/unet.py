"""The U-Net as a denoiser asks it: all of it, or its last layers with deep features kept before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from sdrt.arrays import Array, Latents
from sdrt.backends.cancellation import Cancellation
from sdrt.backends.feature_cut import FEATURES
from sdrt.backends.graph import Network
from sdrt.request.feature_reuse import FeatureReuse

OUTPUT = "out_sample"


class UNet(Protocol):
    """The noise predictor: a graph, or whatever runs like one."""

    @property
    def network(self) -> Network:
        """Its inputs."""
        ...

    def run(
        self, feeds: Mapping[str, Array], cancellation: Cancellation | None = None
    ) -> dict[str, Array]:
        """Run once."""
        ...


@dataclass
class Evaluations:
    """How many noise levels the U-Net was asked about, and how much of it was computed."""

    whole: int = 0
    """All of the U-Net."""
    shallow: int = 0
    """Only its last layers, with features kept before."""
    unguided: int = 0
    """Of these, without the negative prompt in a run that is guided elsewhere."""


@dataclass
class FeatureCache:
    """Deep features of the last whole evaluation (Ma et al. 2023, arXiv 2312.00858, section 3.2).

    An evaluation is of one noise level. The branches of guidance belong to it together, whether
    they run as one batch or one after the other.
    """

    shallow: UNet
    """The last layers as a network, which takes deep features."""
    reuse: FeatureReuse
    is_whole: bool = True
    """Whether the present evaluation computes the whole U-Net."""
    has_reused: bool = False
    """Whether the last layers alone were ever run."""
    _count: int = 0
    _kept: dict[str, Array] = field(default_factory=dict)

    def begin(self, branches: Sequence[str]) -> None:
        """Begin an evaluation of these branches.

        All of the U-Net is computed when it is due, and where a branch has no features yet.
        """
        self.is_whole = self.reuse.is_whole(self._count) or not self._kept.keys() >= set(branches)
        self._count += 1
        if self.is_whole:
            self._kept.clear()

    def run(
        self,
        unet: UNet,
        feeds: Mapping[str, Array],
        branches: Sequence[str],
        cancellation: Cancellation,
    ) -> Latents:
        """What the U-Net answers for some branches of the evaluation, as one batch."""
        if self.is_whole:
            outputs = unet.run(feeds, cancellation)
            kept = np.split(outputs[FEATURES], len(branches))
            self._kept.update(zip(branches, kept, strict=True))
        else:
            self.has_reused = True
            features = np.concatenate([self._kept[branch] for branch in branches])
            outputs = self.shallow.run({**feeds, FEATURES: features}, cancellation)
        answer: Latents = outputs[OUTPUT]
        return answer
