"""Prompts x timesteps x guidance through the runtime's own sampler loop, watched on the way.

Each prompt runs with timesteps of its own: those of the model's spacing, moved by the prompt's
share of the way to the next, so that all prompts together cover all of training's timesteps evenly.
Guided steps hold both halves, with the prompt and without. Then the latents are decoded, and the
pictures encoded, so that every network sees what it will see. Models that take a picture get one of
soft and sharp shapes with each prompt.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends import Backend, Network
from sdrt.backends.cancellation import Cancellation
from sdrt.backends.onnxruntime.backend import OrtBackend, OrtGraph
from sdrt.generation.denoising_pass import DenoisingPass
from sdrt.generation.run import Run
from sdrt.manifest import Manifest
from sdrt.networks.run_state import RunState
from sdrt.pipeline import Pipeline
from sdrt.request.options import Options
from sdrt.request.resolve import resolve
from sdrt.sampling.schedule import Steps
from sdrt_export.graphs.parity import Case
from sdrt_export.memory import give_back_memory
from sdrt_export.quantization.observation import ObservedGraph, Statistics

DECODED_PIXELS = 512 * 512
"""As many pictures as have these are decoded and encoded: the autoencoder sees little else."""
VERIFIED_SIDE = 256
"""Of the picture, or its middle, in pixels, that autoencoders are verified with: each engine runs
each form of them, in int8 and maybe in bf16, which takes longer than the U-Net's few steps."""

# Things, places, light, people, styles: what the range of activations depends on is variety.
PROMPTS = (
    "a red boat on the sea at sunset",
    "portrait photo of an old fisherman, sharp focus, natural light",
    "a white cat on the grass at noon",
    "a busy street in the rain at night, neon signs, reflections",
    "an oil painting of a mountain lake in autumn",
    "a yellow hot air balloon over the desert at dawn",
    "isometric drawing of a small kitchen, pastel colours",
    "a bowl of ramen on a wooden table, top view",
    "an astronaut riding a horse, cinematic",
    "a blue car in the desert on a sunny day on the left",
    "black and white photo of a bridge in fog",
    "a brown dog on the beach by day",
    "a watercolour of tulips in a glass vase",
    "a castle on a cliff above the clouds, fantasy art",
    "a house in the snow at night with mountains",
    "macro photo of a green beetle on a leaf",
)
HELD_OUT = "a purple ball in a green field in the morning"
"""Watched by nobody: what the rounded graphs are verified with."""


@dataclass(frozen=True)
class Sampling:
    """How much is run for statistics."""

    samples: int = 8
    """Prompts; the list starts anew, with other seeds, when it is at its end."""
    steps: int = 3
    """U-Net evaluations, each guided, for each prompt."""
    prompts: tuple[str, ...] = PROMPTS
    seed: int = 0
    size: tuple[int, int] | None = None
    """Width and height of the pictures, which decide how long it takes; None: the model's own."""

    def size_for(self, manifest: Manifest) -> tuple[int, int]:
        """Width and height of the pictures that this model makes."""
        return self.size or (manifest.defaults.width, manifest.defaults.height)


@dataclass(frozen=True)
class Observer(OrtBackend):
    """Watches what it runs: what a pipeline of samples runs on."""

    observed: Mapping[str, tuple[Path, list[str]]] = field(default_factory=dict)
    """Per network: its observed graph, and the tensors that it tells of."""
    statistics: dict[str, dict[str, Statistics]] = field(default_factory=dict)

    def open(self, network: Network) -> OrtGraph:
        """The observed graph in place of the network's own."""
        graph, names = self.observed[network.name]
        known = self.statistics.setdefault(network.name, {})
        return ObservedGraph(network, graph, names, self.threads, known)


@dataclass(frozen=True)
class Recorder(OrtBackend):
    """Keeps what went into each network, and what came out."""

    cases: dict[str, list[Case]] = field(default_factory=dict)

    def open(self, network: Network) -> OrtGraph:
        """The network, recorded."""
        return _RecordedGraph(network, self.threads, self.cases.setdefault(network.name, []))


class _RecordedGraph(OrtGraph):
    def __init__(self, network: Network, threads: int, cases: list[Case]) -> None:
        super().__init__(network, threads)
        self._cases = cases

    def _execute(self, feeds: Mapping[str, Array], cancellation: Cancellation) -> dict[str, Array]:
        outputs = super()._execute(feeds, cancellation)
        self._cases.append(Case(dict(feeds), outputs))
        return outputs


def moved_steps(steps: Steps, share: float) -> Steps:
    """All timesteps but the first, where the noise starts, moved by a share of their distance."""
    ends = np.append(steps.timesteps[1:], 0.0)
    moved = steps.timesteps - share * (steps.timesteps - ends)
    moved[0] = steps.timesteps[0]
    return Steps.at_timesteps(steps.noise, moved, float(steps.sigmas[-1]))


def observe_samples(
    artifact: Artifact, observer: Observer, sampling: Sampling, show_progress: bool
) -> None:
    """Run all samples; the statistics are in the observer afterwards."""
    samples = list(_samples(sampling))
    with tqdm(
        total=len(samples) * sampling.steps, desc="calibrating", disable=not show_progress
    ) as bar:
        _run_all(artifact, observer, samples, sampling, bar.update)


def record_held_out(artifact: Artifact, sampling: Sampling, threads: int) -> dict[str, list[Case]]:
    """Run a prompt that is not among the samples; gives what each network took and made of it."""
    recorder = Recorder(threads)
    held_out = [(HELD_OUT, sampling.seed + 1_000_000, 0.5)]
    most = VERIFIED_SIDE // artifact.manifest.latent.downscale
    _run_all(artifact, recorder, held_out, sampling, lambda: None, most)
    return recorder.cases


def _samples(sampling: Sampling) -> Iterator[tuple[str, int, float]]:
    """Prompt, seed, and share of the distance that the timesteps are moved by."""
    for i in range(sampling.samples):
        prompt = sampling.prompts[i % len(sampling.prompts)]
        yield prompt, sampling.seed + i, i / sampling.samples


def _run_all(
    artifact: Artifact,
    backend: Backend,
    samples: Iterable[tuple[str, int, float]],
    sampling: Sampling,
    tick: Callable[[], object],
    most: int | None = None,
) -> None:
    """One network after the other is in memory, never two.

    Of latents with a side over `most` the middle is decoded.
    """
    pipeline = Pipeline(artifact, backend, keep={"unet"})
    width, height = sampling.size_for(artifact.manifest)
    latents = []
    for prompt, seed, share in samples:
        options = beside_the_prompt(artifact.manifest, seed, (width, height))
        options["seed"], options["num_inference_steps"] = seed, sampling.steps
        options["width"], options["height"] = width, height
        request = resolve(artifact.manifest, prompt, options)
        steps = moved_steps(request.steps(pipeline.training_noise), share)
        denoising = DenoisingPass(pipeline, request, pipeline.budget, own_steps=steps)
        for step in Run(pipeline, request, passes=denoising):
            last = step.latents
            tick()
        latents.append(last)
    pipeline.release()
    give_back_memory()
    count = max(1, DECODED_PIXELS // (width * height))
    pictures = [pipeline.decode(middle(one, most))[0] for one in latents[:count]]
    pipeline.release()
    give_back_memory()
    if "vae_encoder" in artifact.manifest.graphs:
        shape = {"sample": (1, *pictures[0].shape)}
        encoder = pipeline.networks.graph("vae_encoder", shape, RunState())
        for picture in pictures:
            encoder.run({"sample": picture[None]})
        del encoder
    pipeline.release()
    give_back_memory()


def beside_the_prompt(manifest: Manifest, seed: int, size: tuple[int, int]) -> Options:
    """A picture (width, height) for models that take one, and for inpainting models a mask on it.

    Its colours flow into each other on the left, and have sharp edges on the right.
    """
    if not manifest.conditions:
        return {}
    width, height = size
    colours = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    picture = Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC)
    right = width // 2, 0, width, height
    edges = Image.fromarray(colours).resize(size, Image.Resampling.NEAREST)
    picture.paste(edges.crop(right), right)
    if manifest.edits:
        return {"image": picture}
    mask = Image.new("L", size, "black")
    mask.paste("white", (width // 4, height // 4, width, height))
    return {"image": picture, "mask": mask}


def middle(array: Array, most: int | None) -> Array:
    """The middle of pictures or latents (rows, channels, height, width), if they are larger."""
    if most is None:
        return array
    top, left = (max(0, (side - most) // 2) for side in array.shape[2:])
    return array[:, :, top : top + most, left : left + most]
