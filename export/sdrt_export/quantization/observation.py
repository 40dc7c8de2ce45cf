"""Statistics of tensors in a running network: exact extremes, and a histogram of samples.

The observed graph is the network with one more output for each tensor: its least and greatest
value, and values from places that are drawn once. Nothing but these few numbers leaves the engine,
so that observing takes no more memory than running.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from sdrt.arrays import Array, Doubles
from sdrt.errors import UsageError
from sdrt.files.atomic import whole_file
from sdrt.files.text_file import read_text
from sdrt_export.quantization.layers import initializer

SAMPLES = 1 << 14  # per tensor and run; smaller tensors give values more than once
BINS = 1024
SCHEMA = 1
MAX_BYTES = 100_000_000

SEEN, SHAPE = "/seen", "/shape"  # suffixes of the names of added outputs


@dataclass
class Statistics:
    """Statistics of one tensor over all runs."""

    low: float
    """The least value."""
    high: float
    """The greatest value."""
    counts: Doubles
    """The number of samples in each of `BINS` equal parts of the range."""
    shape: tuple[int, ...]
    """The tensor's shape in the last run."""

    @classmethod
    def from_samples(cls, seen: Array, shape: Sequence[int]) -> "Statistics":
        """Statistics of one run, from its least value, its greatest and its samples."""
        low, high = float(seen[0]), float(seen[1])
        # The extremes are the only values that are certain not to be missed. Each counts as one
        # value of the whole tensor, of which the samples are a part.
        samples = len(seen) - 2
        weights = np.ones(len(seen))
        weights[:2] = min(1.0, samples / math.prod(shape))
        return cls(low, high, _counts(seen, low, high, weights), tuple(shape))

    @property
    def centers(self) -> Doubles:
        """The middle of each part of the range."""
        middles: Doubles = np.arange(BINS, dtype=np.float64) + 0.5
        return self.low + middles * _width(self.low, self.high)

    def add(self, other: "Statistics") -> "Statistics":
        """Statistics of the runs of both."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        counts = [_counts(s.centers, low, high, s.counts) for s in (self, other)]
        return Statistics(low, high, counts[0] + counts[1], other.shape)

    def mean_square(self) -> float:
        """Mean of the squared values."""
        return float((self.centers**2 * self.counts).sum() / self.counts.sum())


def _width(low: float, high: float) -> float:
    """Width of one part; not 0 even for a constant tensor."""
    return max(high - low, 1e-12) / BINS


def _counts(values: Array, low: float, high: float, weights: Doubles | None = None) -> Doubles:
    parts = ((values - low) / _width(low, high)).astype(np.int64).clip(0, BINS - 1)
    return np.asarray(np.bincount(parts, weights, BINS), np.float64)


def observe(model: ir.Model, values: Iterable[ir.Value]) -> None:
    """Add outputs with extremes, samples and shape of these tensors."""
    graph = model.graph
    places = np.sort(np.random.default_rng(0).random(SAMPLES))
    share = initializer(graph, "observation/places", places)
    flat = initializer(graph, "observation/flat", np.array([-1]))
    one_value = initializer(graph, "observation/one", np.array([1]))
    for value in values:
        least = ir.node("ReduceMin", [value], {"keepdims": 0})
        greatest = ir.node("ReduceMax", [value], {"keepdims": 0})
        size = ir.node("Size", [value])
        count = ir.node("Cast", [size.outputs[0]], {"to": ir.DataType.DOUBLE})
        place = ir.node("Mul", [share, count.outputs[0]])
        index = ir.node("Cast", [place.outputs[0]], {"to": ir.DataType.INT64})
        row = ir.node("Reshape", [value, flat])
        sample = ir.node("Gather", [row.outputs[0], index.outputs[0]])
        low, high = (ir.node("Reshape", [end.outputs[0], one_value]) for end in (least, greatest))
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


@dataclass(frozen=True)
class Calibration:
    """Statistics of every observed tensor of every network, and the runs that they are from."""

    model: str
    """A hash of the float networks, because statistics are of no use for another model."""
    prompts: tuple[str, ...]
    """The prompts that ran."""
    samples: int
    """The number of runs."""
    steps: int
    """The number of steps of each run."""
    seed: int
    """The seed of the first run."""
    networks: dict[str, dict[str, Statistics]] = field(default_factory=dict)
    """The statistics by network and tensor."""

    def to_json(self) -> str:
        """The content of the file that `read_calibration` reads."""
        networks = {
            name: {
                tensor: {
                    "low": seen.low,
                    "high": seen.high,
                    "shape": list(seen.shape),
                    "counts": seen.counts.round(3).tolist(),
                }
                for tensor, seen in tensors.items()
            }
            for name, tensors in self.networks.items()
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
    """Read statistics from a file; raises `UsageError` for a file that holds none."""
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
        name: {tensor: _statistics(record) for tensor, record in tensors.items()}
        for name, tensors in data["networks"].items()
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
