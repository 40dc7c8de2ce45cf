"""What tensors held while a network ran on real inputs: exact ends, and a histogram of samples.

The observed graph is the network with one more output for each tensor: its least and greatest
value, and values from places drawn once. Nothing but these few numbers leaves the engine, so that
observing takes as much memory as running.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from sdrt.arrays import Array, Doubles
from sdrt.backends import Network
from sdrt.backends.cancellation import Cancellation
from sdrt.backends.onnxruntime.backend import OrtGraph
from sdrt.errors import UsageError
from sdrt.files.atomic import whole_file
from sdrt.files.text_file import read_text
from sdrt.manifest import TensorSpec
from sdrt_export.quantization.layers import initializer

SAMPLES = 1 << 14  # of each tensor and run; smaller tensors give values more than once
BINS = 1024
SCHEMA = 1
MAX_BYTES = 100_000_000

SEEN, SHAPE = "/seen", "/shape"  # ends of the names of added outputs


@dataclass
class Statistics:
    """Of one tensor over all runs."""

    low: float
    high: float
    counts: Doubles
    """Values in each of `BINS` equal parts of low to high."""
    shape: tuple[int, ...]
    """In the last run."""

    @classmethod
    def of(cls, seen: Array, shape: Sequence[int]) -> "Statistics":
        """Of one run: least, greatest, samples."""
        low, high = float(seen[0]), float(seen[1])
        # The ends are the only values that are certain not to be missed. They count as what they
        # are: one each of all the tensor's, of which the samples are a part.
        samples = len(seen) - 2
        weights = np.ones(len(seen))
        weights[:2] = min(1.0, samples / math.prod(shape))
        return cls(low, high, _counts(seen, low, high, weights), tuple(shape))

    @property
    def centers(self) -> Doubles:
        """The middle of each part."""
        middles: Doubles = np.arange(BINS, dtype=np.float64) + 0.5
        return self.low + middles * _width(self.low, self.high)

    def add(self, other: "Statistics") -> "Statistics":
        """Of the runs of both."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        counts = [_counts(one.centers, low, high, one.counts) for one in (self, other)]
        return Statistics(low, high, counts[0] + counts[1], other.shape)

    def mean_square(self) -> float:
        """Mean of the squared values."""
        return float((self.centers**2 * self.counts).sum() / self.counts.sum())


def _width(low: float, high: float) -> float:
    """Of one part; a constant tensor's have some width too."""
    return max(high - low, 1e-12) / BINS


def _counts(values: Array, low: float, high: float, weights: Doubles | None = None) -> Doubles:
    parts = ((values - low) / _width(low, high)).astype(np.int64).clip(0, BINS - 1)
    return np.asarray(np.bincount(parts, weights, BINS), np.float64)


def observe(model: ir.Model, values: Iterable[ir.Value]) -> None:
    """Add outputs that tell of these tensors."""
    graph = model.graph
    places = np.sort(np.random.default_rng(0).random(SAMPLES))
    share = initializer(graph, "observation/places", places)
    flat = initializer(graph, "observation/flat", np.array([-1]))
    one = initializer(graph, "observation/one", np.array([1]))
    for value in values:
        least = ir.node("ReduceMin", [value], {"keepdims": 0})
        greatest = ir.node("ReduceMax", [value], {"keepdims": 0})
        size = ir.node("Size", [value])
        count = ir.node("Cast", [size.outputs[0]], {"to": ir.DataType.DOUBLE})
        place = ir.node("Mul", [share, count.outputs[0]])
        index = ir.node("Cast", [place.outputs[0]], {"to": ir.DataType.INT64})
        row = ir.node("Reshape", [value, flat])
        sample = ir.node("Gather", [row.outputs[0], index.outputs[0]])
        low, high = (ir.node("Reshape", [end.outputs[0], one]) for end in (least, greatest))
        parts = [node.outputs[0] for node in (low, high, sample)]
        seen = ir.node("Concat", parts, {"axis": 0})
        shape = ir.node("Shape", [value])
        made = [least, greatest, size, count, place, index, row, sample, low, high, seen, shape]
        # Engines run nodes about in the order of the graph: at its end, all tensors would be alive.
        producer = value.producer()
        if producer is None:
            graph.insert_before(graph[0], made)
        else:
            graph.insert_after(producer, made)
        _add_output(graph, seen, f"{value.name}{SEEN}", ir.DataType.FLOAT)
        _add_output(graph, shape, f"{value.name}{SHAPE}", ir.DataType.INT64)


def _add_output(graph: ir.Graph, node: ir.Node, name: str, dtype: ir.DataType) -> None:
    output = node.outputs[0]
    output.name, output.type, output.shape = name, ir.TensorType(dtype), ir.Shape([None])
    graph.outputs.append(output)


class ObservedGraph(OrtGraph):
    """A network that takes note of its tensors while it runs."""

    def __init__(
        self,
        network: Network,
        observed: Path,
        names: Sequence[str],
        threads: int,
        statistics: dict[str, Statistics],
    ) -> None:
        told = [
            *(TensorSpec(name=f"{name}{SEEN}", dtype="float32", shape=("n",)) for name in names),
            *(TensorSpec(name=f"{name}{SHAPE}", dtype="int64", shape=("n",)) for name in names),
        ]
        spec = network.spec.model_copy(update={"outputs": (*network.spec.outputs, *told)})
        files = (observed, *network.files[1:])
        super().__init__(replace(network, spec=spec, files=files), threads, in_order=True)
        self._names, self._statistics = names, statistics

    def _execute(self, feeds: Mapping[str, Array], cancellation: Cancellation) -> dict[str, Array]:
        outputs = super()._execute(feeds, cancellation)
        for name in self._names:
            shape = outputs.pop(f"{name}{SHAPE}").tolist()
            found = Statistics.of(outputs.pop(f"{name}{SEEN}"), shape)
            known = self._statistics.get(name)
            self._statistics[name] = known.add(found) if known else found
        return outputs


@dataclass(frozen=True)
class Calibration:
    """Statistics of every observed tensor of every network, and how they came about."""

    model: str
    """Hash of the float networks: the statistics of one model say nothing of another."""
    prompts: tuple[str, ...]
    samples: int
    steps: int
    seed: int
    networks: dict[str, dict[str, Statistics]] = field(default_factory=dict)

    def to_json(self) -> str:
        """As the file that `read_calibration` reads."""
        networks = {
            name: {
                tensor: {
                    "low": one.low,
                    "high": one.high,
                    "shape": list(one.shape),
                    "counts": one.counts.round(3).tolist(),
                }
                for tensor, one in found.items()
            }
            for name, found in self.networks.items()
        }
        record = {
            "schema": SCHEMA,
            "model": self.model,
            "prompts": self.prompts,
            "samples": self.samples,
            "steps": self.steps,
            "seed": self.seed,
            "networks": networks,
        }
        return json.dumps(record)


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Write statistics to a file, whole or not at all; raises `WriteError`."""
    with whole_file(path) as partial:
        partial.write_text(calibration.to_json(), encoding="utf-8")


def read_calibration(path: Path) -> Calibration:
    """Read statistics from a file; raises `UsageError` for a file that has none."""
    text = read_text(path, "a calibration", MAX_BYTES)
    try:
        return _calibration(json.loads(text))
    except (RecursionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path} is no calibration of sdrt ({type(error).__name__}: {error}); expected a file "
            "that sdrt export wrote as --calibration"
        ) from error


def _calibration(data: Any) -> Calibration:
    if data["schema"] != SCHEMA:
        raise ValueError(f"schema {data['schema']!r}, expected {SCHEMA}")
    networks = {
        name: {tensor: _statistics(one) for tensor, one in found.items()}
        for name, found in data["networks"].items()
    }
    return Calibration(
        model=str(data["model"]),
        prompts=tuple(str(prompt) for prompt in data["prompts"]),
        samples=int(data["samples"]),
        steps=int(data["steps"]),
        seed=int(data["seed"]),
        networks=networks,
    )


def _statistics(data: Any) -> Statistics:
    counts = np.array(data["counts"], np.float64)
    low, high = float(data["low"]), float(data["high"])
    if counts.shape != (BINS,) or not np.isfinite([low, high, counts.sum()]).all() or high < low:
        raise ValueError("a histogram is damaged")
    return Statistics(low, high, counts, tuple(int(size) for size in data["shape"]))
