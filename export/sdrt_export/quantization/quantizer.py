"""Float artifact -> the rounded graph of each of its networks."""

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.cores import default_threads
from sdrt.errors import UsageError
from sdrt.machine import give_back_memory
from sdrt.manifest import Quantization
from sdrt_export.graphs.onnx_storage import widen
from sdrt_export.graphs.parity import ReferenceCase
from sdrt_export.quantization.calibration import (
    CalibrationSettings,
    middle,
    observe_samples,
    record_held_out,
)
from sdrt_export.quantization.layers import find_layers, split_concats
from sdrt_export.quantization.observation import (
    Calibration,
    Statistics,
    observe,
    read_calibration,
    write_calibration,
)
from sdrt_export.quantization.ranges import QuantizationRange, choose_range
from sdrt_export.quantization.rounding import round_layers, round_weights_alone
from sdrt_export.quantization.sensitivity import (
    LayerCost,
    Measurement,
    add_switches,
    keep_in_float,
    measure_costs,
)
from sdrt_export.quantization.watched_networks import Observer

logger = logging.getLogger(__name__)

LAYERS, WEIGHTS, OBSERVED, SWITCHED = (
    "layers.onnx",
    "layers.onnx_data",
    "observed.onnx",
    "switched.onnx",
)
PROBED_SIDE = 16
"""Side of the latents that sensitivity is measured with, which takes a run for each layer."""


@dataclass(frozen=True)
class Quantized:
    """One network's rounded graph, still to be written, and its verification."""

    model: ir.Model
    """The rounded graph."""
    ranges: dict[str, QuantizationRange]
    """The ranges of its tensors by their names."""
    quantization: Quantization
    """The manifest's entry on it."""
    cases: list[ReferenceCase]
    """Inputs and outputs of the float network."""


class Quantizer:
    """Makes int8 graphs of one float artifact; `folder` holds 4 bytes per weight during the work.

    Statistics are read from `file` if it exists, and written to it otherwise. Raises `UsageError`
    for statistics of another model.
    """

    def __init__(
        self,
        artifact: Artifact,
        folder: Path,
        settings: CalibrationSettings,
        file: Path | None = None,
        show_progress: bool = False,
    ) -> None:
        self.artifact, self.folder, self.settings = artifact, folder, settings
        self._observed = {name: self._prepare(name) for name in artifact.manifest.graphs}
        self.calibration = self._calibrate(file, show_progress)
        self._cases = self.held_out()

    def quantize(self, name: str) -> Quantized:
        """Choose ranges, measure each layer, and round those that may be."""
        started = time.perf_counter()
        statistics, cases = self.calibration.networks[name], self._cases[name]
        ranges = {tensor: choose_range(seen) for tensor, seen in statistics.items()}
        costs = self._measure(name, statistics, ranges, cases)
        give_back_memory()
        kept = keep_in_float(costs, name)
        model = ir.load(self.folder / name / LAYERS)
        round_layers(model.graph, ranges, kept)
        round_weights_alone(model.graph)
        quantization = self._describe(costs, kept)
        logger.info(
            "%s: measured in %.0f s; %d of %d layers in int8, %.1f %% of the work",
            name,
            time.perf_counter() - started,
            len(costs) - len(kept),
            len(costs),
            quantization.share * 100,
        )
        return Quantized(model, ranges, quantization, cases)

    def observe(self, observer: Observer, show: bool) -> None:
        """Run the samples with an observed engine."""
        observe_samples(self.artifact, observer, self.settings, show)

    def held_out(self) -> dict[str, list[ReferenceCase]]:
        """Inputs and outputs of each network in a run that is no sample."""
        return record_held_out(self.artifact, self.settings, default_threads())

    def measured_outputs(self, name: str) -> tuple[str, ...]:
        """The outputs of a network in which the errors of its layers are measured."""
        return (self.artifact.manifest.graphs[name].outputs[0].name,)

    def _prepare(self, name: str) -> tuple[Path, list[str]]:
        """Write the graph with all weights in fp32, and next to it the observed one."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        model = ir.load(self.artifact.network(name, ("onnx",)).files[0])
        widen(model)
        split_concats(model.graph)
        ir.save(model, folder / LAYERS, external_data=WEIGHTS)
        model = ir.load(folder / LAYERS)
        values: dict[str, ir.Value] = {}
        for layer in find_layers(model.graph):
            for value in layer.rounded:
                values[str(value.name)] = value
        observe(model, values.values())
        ir.save(model, folder / OBSERVED)
        return folder / OBSERVED, list(values)

    def _calibrate(self, file: Path | None, show: bool) -> Calibration:
        fingerprint = self._fingerprint()
        if file is not None and file.exists():
            known = read_calibration(file)
            if known.model != fingerprint or set(known.networks) != set(self._observed):
                raise UsageError(
                    f"{file} holds statistics of another model; give the file of this one, or the "
                    "name of a new file"
                )
            return known
        started = time.perf_counter()
        observer, settings = Observer(self._observed, default_threads()), self.settings
        self.observe(observer, show)
        logger.info(
            "calibrated in %.0f s: %d samples of %d steps",
            time.perf_counter() - started,
            settings.samples,
            settings.steps,
        )
        calibration = Calibration(
            model=fingerprint,
            prompts=settings.prompts[: settings.samples],
            samples=settings.samples,
            steps=settings.steps,
            seed=settings.seed,
            networks=observer.statistics,
        )
        if file is not None:
            write_calibration(calibration, file)
        return calibration

    def _fingerprint(self) -> str:
        """A hash of every float graph and its weights."""
        manifest = self.artifact.manifest
        files = [file for graph in manifest.graphs.values() for file in graph.files["onnx"]]
        hashes = "\n".join(f"{file} {manifest.files[file].sha256}" for file in sorted(files))
        return hashlib.sha256(hashes.encode()).hexdigest()

    def _measure(
        self,
        name: str,
        statistics: Mapping[str, Statistics],
        ranges: Mapping[str, QuantizationRange],
        cases: Sequence[ReferenceCase],
    ) -> dict[str, LayerCost]:
        folder = self.folder / name
        layers = find_layers(ir.load(folder / LAYERS).graph)
        if not layers:
            return {}
        model = ir.load(folder / LAYERS)
        add_switches(model.graph, ranges)
        ir.save(model, folder / SWITCHED)
        feeds = cases[(len(cases) - 1) // 2].feeds  # of the U-Net's timesteps, the middle one
        downscale = self.artifact.manifest.downscale
        probe = {tensor: _probe(array, downscale) for tensor, array in feeds.items()}
        network = self.artifact.network(name, ("onnx",))
        switched, threads = folder / SWITCHED, default_threads()
        measurement = Measurement(network, switched, probe, self.measured_outputs(name), threads)
        return measure_costs(measurement, layers, statistics, ranges)

    def _describe(self, costs: Mapping[str, LayerCost], kept: Sequence[str]) -> Quantization:
        macs = sum(cost.macs for cost in costs.values())
        in_float = sum(costs[name].macs for name in kept)
        return Quantization(
            sqnr_db={name: round(cost.sqnr_db, 1) for name, cost in costs.items()},
            kept=tuple(kept),
            share=round(1 - in_float / max(macs, 1), 4),
            samples=self.calibration.samples,
            steps=self.calibration.steps,
            seed=self.calibration.seed,
        )


def _probe(array: Array, downscale: int) -> Array:
    """The last row of a batch, and of latents or an image only the middle."""
    if array.ndim == 0:
        return array
    row = array[-1:]
    if array.ndim != 4:
        return row
    return middle(row, PROBED_SIDE * (downscale if array.shape[1] == 3 else 1))
