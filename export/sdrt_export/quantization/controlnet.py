"""A ControlNet in int8: calibrated by runs of a model that it guides."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from sdrt.artifact import Artifact
from sdrt.artifact.controlnet import CONTROLNET, ControlNetFolder
from sdrt.backends import Backend, Graph, Network
from sdrt.backends.onnxruntime.backend import OrtBackend
from sdrt.cores import default_threads
from sdrt.errors import UsageError
from sdrt.generation.denoising_pass import DenoisingPass
from sdrt.generation.run import Run
from sdrt.manifest import Format, GraphSpec
from sdrt.pipeline import Pipeline
from sdrt.request.options import Control
from sdrt.request.resolve import resolve
from sdrt_export.artifact.staging import Stage
from sdrt_export.graphs.parity import ReferenceCase
from sdrt_export.quantization.calibration import (
    HELD_OUT,
    hint_for,
    image_options,
    moved_steps,
)
from sdrt_export.quantization.int8_artifact import Int8Settings, rounded_network
from sdrt_export.quantization.quantizer import Quantizer
from sdrt_export.quantization.watched_networks import Observer, Recorder, WatchedBackend


def quantize_controlnet(
    folder: ControlNetFolder,
    model: Artifact,
    stage: Stage,
    work: Path,
    formats: Sequence[Format],
    settings: Int8Settings,
) -> GraphSpec:
    """Fill a stage with the rounded graph of a ControlNet in fp32.

    Raises `ParityError` for one below the floor, and `UnsupportedError` for a model that it does
    not fit.
    """
    quantizer = ControlNetQuantizer(folder, model, work, settings)
    return rounded_network(quantizer, CONTROLNET, stage, formats, settings.publish_anyway)


class ControlNetQuantizer(Quantizer):
    """A quantizer whose samples are runs of a model with the ControlNet beside it."""

    def __init__(
        self, folder: ControlNetFolder, model: Artifact, work: Path, settings: Int8Settings
    ) -> None:
        self.model = model
        super().__init__(
            cast(Artifact, folder),  # of which only graphs and files are asked
            work,
            settings.calibration,
            settings.statistics_file,
            settings.show_progress,
        )

    def observe(self, observer: Observer, show: bool) -> None:
        """Run the samples with an observed engine for the ControlNet."""
        settings = self.settings
        for i in range(settings.samples):
            prompt = settings.prompts[i % len(settings.prompts)]
            self._run(observer.backend, prompt, settings.seed + i, i / settings.samples)

    def held_out(self) -> dict[str, list[ReferenceCase]]:
        """Inputs and outputs of the ControlNet in a run that is no sample."""
        recorder = Recorder(default_threads())
        self._run(recorder.backend, HELD_OUT, self.settings.seed + 1_000_000, 0.5)
        return recorder.cases

    def measured_outputs(self, name: str) -> tuple[str, ...]:
        """All: most layers show in the deeper outputs only."""
        return tuple(output.name for output in self.artifact.manifest.graphs[name].outputs)

    def _run(self, watched: WatchedBackend, prompt: str, seed: int, share: float) -> None:
        """Run a sample, with the ControlNet alone on the watched engine."""
        manifest, settings = self.model.manifest, self.settings
        size = settings.size_for(manifest)
        pipeline = Pipeline(self.model, _beside(watched), keep={"unet"})
        options = image_options(manifest, seed, size)
        options["controls"] = [Control(self.artifact.root, hint_for(seed, size))]
        options["seed"], options["num_inference_steps"] = seed, settings.steps
        options["width"], options["height"] = size
        request = resolve(manifest, prompt, options)
        steps = moved_steps(request.steps(pipeline.training_noise), share)
        denoising = DenoisingPass(pipeline, request, pipeline.budget, own_steps=steps)
        for _ in Run(pipeline, request, passes=denoising):
            pass


def _beside(watched: WatchedBackend) -> Backend:
    """An engine that runs ControlNets as `watched` does, and all else by itself."""
    engine = OrtBackend(default_threads())

    def open_network(network: Network) -> Graph:
        if network.name.startswith(CONTROLNET):
            return watched.open(replace(network, name=CONTROLNET))
        return engine.open(network)

    return WatchedBackend(engine, open_network)


def check_model(model: Artifact | None) -> Artifact:
    """The model to calibrate with; raises `UsageError` without one."""
    if model is None:
        raise UsageError(
            "a ControlNet in int8 is calibrated by runs of a model that it guides; give the folder "
            "of one with --calibration-model"
        )
    return model
