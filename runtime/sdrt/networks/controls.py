"""ControlNets at work: what they add to the U-Net's features in each evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sdrt.arrays import Array, Floats
from sdrt.artifact.controlnet import HINT, ControlNetManifest
from sdrt.backends.cancellation import Cancellation
from sdrt.networks.fp32_fallback import GuardedGraph
from sdrt.request.controls import ControlRequest

POSITIVE = "positive"
"""The branch that guessing ControlNets guide alone."""
LEAST_GUESS = 0.1  # the share of its weight that a guess has at the first layer; 1 at the middle

Residuals = dict[str, Array]


@dataclass(frozen=True)
class ActiveControl:
    """A ControlNet with the hint that it follows in one pass."""

    graph: GuardedGraph
    manifest: ControlNetManifest
    request: ControlRequest
    hint: Floats
    """(1, 3, height, width) in 0..1."""
    guesses: bool
    """Whether it guides the prompt's own branch alone, and deeper layers more."""

    @property
    def is_one_sided(self) -> bool:
        """Whether it guides the prompt's own branch alone."""
        return self.guesses or self.manifest.is_pooled

    def run(self, feeds: Mapping[str, Array], cancellation: Cancellation) -> Residuals:
        """What it adds to the U-Net's features for these inputs of the U-Net."""
        inputs = {tensor.name for tensor in self.graph.network.spec.inputs}
        own = {name: array for name, array in feeds.items() if name in inputs}
        latents = self.graph.network.spec.inputs[0].shape[1]
        own["sample"] = np.ascontiguousarray(feeds["sample"][:, :latents])  # without a mask
        own[HINT] = np.repeat(self.hint, len(own["sample"]), axis=0)
        outputs = self.graph.run(own, cancellation)
        for name, weight in zip(self.manifest.residuals, self._weights(), strict=True):
            if weight != 1:
                outputs[name] *= np.float32(weight)
        return outputs

    def _weights(self) -> Floats:
        """The factor of each residual, from the first layer to the middle."""
        count = len(self.manifest.residuals)
        shares = np.ones(count, np.float32)
        if self.guesses and not self.manifest.is_pooled:
            shares = np.logspace(np.log10(LEAST_GUESS), 0, count, dtype=np.float32)
        return shares * np.float32(self.request.weight)


@dataclass
class Controls:
    """All ControlNets of a pass, whose results add up."""

    active: Sequence[ActiveControl]
    steps: int
    """How many steps the schedule has that ranges are shares of."""
    _kept: dict[tuple[str, ...], Residuals] = field(default_factory=dict)
    """The last results for each batch of branches."""

    def residuals(
        self,
        feeds: Mapping[str, Array],
        branches: Sequence[str],
        progress: float,
        cancellation: Cancellation,
        is_kept: bool = False,
    ) -> Residuals:
        """What the U-Net takes besides its `feeds`, whose rows are those of the branches in turn.

        `progress` is the share of the steps that is done. Where deep features are those of an
        earlier evaluation (`is_kept`), the results are too.
        """
        key = tuple(branches)
        if not (is_kept and key in self._kept):
            self._kept[key] = self._computed(feeds, branches, progress, cancellation)
        return self._kept[key]

    def record(self) -> None:
        """Keep what was executed of those that ran."""
        for name in dict.fromkeys(control.graph.network.name for control in self.active):
            graph = next(c.graph for c in self.active if c.graph.network.name == name)
            if graph.has_run:
                graph.record()

    def _computed(
        self,
        feeds: Mapping[str, Array],
        branches: Sequence[str],
        progress: float,
        cancellation: Cancellation,
    ) -> Residuals:
        total: Residuals = {}
        index, rows = round(progress * self.steps), len(feeds["sample"])
        for control in self.active:
            if not control.request.is_active(index, self.steps) or control.request.weight == 0:
                continue
            if not control.is_one_sided:
                added = control.run(feeds, cancellation)
            elif POSITIVE in branches:
                added = _on_one_side(control, feeds, branches, cancellation)
            else:
                continue
            for name, residual in added.items():
                total[name] = total[name] + residual if name in total else residual
        if not total:
            height, width = feeds["sample"].shape[2:]
            shapes = self.active[0].manifest.shapes(rows, height, width)
            total = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        return total


def _on_one_side(
    control: ActiveControl,
    feeds: Mapping[str, Array],
    branches: Sequence[str],
    cancellation: Cancellation,
) -> Residuals:
    """Results for the rows of the prompt's own branch, and zeros for the others."""
    images = len(feeds["sample"]) // len(branches)
    first = list(branches).index(POSITIVE) * images
    own = slice(first, first + images)
    fed = {name: array[own] if array.ndim else array for name, array in feeds.items()}
    spread = {}
    for name, residual in control.run(fed, cancellation).items():
        spread[name] = np.zeros((len(feeds["sample"]), *residual.shape[1:]), np.float32)
        spread[name][own] = residual
    return spread
