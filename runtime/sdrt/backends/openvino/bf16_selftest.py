"""Self-test of OpenVINO's bf16 on this machine: small layers in bf16, compared with fp32.

OpenVINO's bf16 is not right everywhere (openvino#38256 reports matrix products on a Zen 5 with
errors larger than the results). So it is tested before it is trusted, once for each processor and
version of the engine; the verdict is kept in the user's cache.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13

from sdrt.arrays import Array, snr_db
from sdrt.errors import WriteError
from sdrt.files.atomic import whole_file
from sdrt.files.cache import cache_folder
from sdrt.machine import instruction_sets, processor

VERSION = 1  # of the layers below; verdicts on other versions do not count
FLOOR_DB = 30.0  # 3 % of error; rounding the inputs of one layer leaves 49 dB or more
ROWS, WIDTH, SIDE, HEADS = 64, 320, 16, 8

Settings = Mapping[str, str | int]


@dataclass(frozen=True)
class ProbeLayer:
    """A small graph and its inputs."""

    model: ov.Model
    feeds: Mapping[str, Array]


RunLayer = Callable[[ov.Core, str, Settings, ProbeLayer], Array]
"""Runs a layer on a device with settings, and returns its only output."""


@dataclass(frozen=True)
class Setup:
    """Everything that a verdict depends on."""

    device: str
    engine: str
    processor: str = field(default_factory=processor)
    instruction_sets: tuple[str, ...] = field(default_factory=instruction_sets)
    limit: str = field(default_factory=lambda: os.environ.get("ONEDNN_MAX_CPU_ISA", ""))
    """oneDNN's setting that excludes instruction sets."""
    version: int = VERSION

    @property
    def file(self) -> Path:
        """The file of the verdict."""
        digest = hashlib.sha256(repr(self).encode()).hexdigest()
        return cache_folder() / "selftest" / f"{digest}.json"


@dataclass(frozen=True)
class Verdict:
    """The result of the self-test."""

    figures: Mapping[str, float]
    """The signal-to-noise ratio of each layer in bf16, dB."""

    @property
    def wrong(self) -> dict[str, float]:
        """The figures of layers whose error is more than rounding, or NaN."""
        return {name: db for name, db in self.figures.items() if not db >= FLOOR_DB}

    @property
    def is_right(self) -> bool:
        """Whether bf16 can be trusted here."""
        return not self.wrong

    def describe(self, name: str) -> str:
        """A layer's figure as text."""
        return f"{'WRONG' if name in self.wrong else 'right'}: {self.figures[name]:.1f} dB"


def recall(setup: Setup, measure: Callable[[], Verdict]) -> Verdict:
    """The verdict remembered for this setup, or else the one measured now."""
    return _read(setup) or remember(setup, measure())


def remember(setup: Setup, verdict: Verdict) -> Verdict:
    """Keep a verdict for later processes, if possible, and return it."""
    # Where the cache cannot be written, the next process tests again.
    with suppress(OSError, WriteError, RuntimeError):
        file = setup.file
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as target:
            target.write_text(
                json.dumps({**asdict(setup), "figures": verdict.figures}, indent=1),
                encoding="utf-8",
            )
    return verdict


def _read(setup: Setup) -> Verdict | None:
    try:
        figures = json.loads(setup.file.read_text(encoding="utf-8"))["figures"]
        if set(figures) == set(LAYERS):
            return Verdict({name: float(figures[name]) for name in LAYERS})
    except (OSError, RuntimeError, ValueError, TypeError, KeyError):
        pass  # missing, unreadable, not JSON or not ours: as if there were none
    return None


def examine(core: ov.Core, device: str, settings: Settings, run_layer: RunLayer) -> Verdict:
    """Run every layer in fp32 and in bf16."""
    figures = {}
    for name, make in LAYERS.items():
        layer = make()
        try:
            expected, found = (
                run_layer(core, device, {**settings, "INFERENCE_PRECISION_HINT": hint}, layer)
                for hint in ("f32", "bf16")
            )
            figures[name] = snr_db(expected, found)
        except RuntimeError:  # an engine that cannot run the layer cannot be trusted with bf16
            figures[name] = -math.inf
    return Verdict(figures)


def run_layer(core: ov.Core, device: str, settings: Settings, layer: ProbeLayer) -> Array:
    """Compile a layer and run it."""
    request = core.compile_model(layer.model, device, dict(settings)).create_infer_request()
    request.infer(dict(layer.feeds))
    result: Array = request.get_output_tensor(0).data.copy()
    return result


def _convolution() -> ProbeLayer:
    """A convolution as in a U-Net's first level."""
    x = _normal(1, WIDTH, SIDE, SIDE)
    weights = _stored(_normal(WIDTH, WIDTH, 3, 3), ov.Type.bf16)
    node = _input(x)
    ones = [1, 1]  # strides, padding at both ends, dilations
    return _layer(opset13.convolution(node, weights, ones, ones, ones, ones), {"x": x}, [node])


def _product(length: int, stored: ov.Type) -> ProbeLayer:
    """Rows times constant weights, summed over `length` terms."""
    x = _normal(1, ROWS, length)
    node = _input(x)
    weights = _stored(_normal(length, WIDTH), stored)
    return _layer(opset13.matmul(node, weights, False, False), {"x": x}, [node])


def _attention() -> ProbeLayer:
    shape = (1, HEADS, ROWS, WIDTH // HEADS)
    arrays = {name: _normal(*shape, seed=seed) for seed, name in enumerate("qkv")}
    nodes = [_input(array, name) for name, array in arrays.items()]
    return _layer(opset13.scaled_dot_product_attention(*nodes), arrays, nodes)


def _normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).standard_normal(shape, np.float32)


def _input(array: Array, name: str = "x") -> ov.Node:
    node = opset13.parameter(list(array.shape), np.float32, name)
    node.output(0).set_names({name})
    return node


def _stored(weights: Array, stored: ov.Type) -> ov.Node:
    """Weights as artifacts store them: bf16 is widened inside the graph."""
    constant = opset13.constant(weights, stored)
    return constant if stored == ov.Type.f32 else opset13.convert(constant, "f32")


def _layer(result: ov.Node, feeds: Mapping[str, Array], inputs: list[ov.Node]) -> ProbeLayer:
    return ProbeLayer(ov.Model([opset13.result(result)], inputs, "layer"), feeds)


# Sums of the lengths in Stable Diffusion's networks, by which engines choose kernels.
LAYERS: dict[str, Callable[[], ProbeLayer]] = {
    "3x3 convolution": _convolution,
    "matrix product of 320": partial(_product, 320, ov.Type.bf16),
    "matrix product of 1280": partial(_product, 1280, ov.Type.bf16),
    "matrix product of 1280, weights in fp32": partial(_product, 1280, ov.Type.f32),
    "matrix product of 3072": partial(_product, 3072, ov.Type.bf16),
    "attention": _attention,
}
