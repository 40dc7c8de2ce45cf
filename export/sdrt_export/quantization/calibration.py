"""Calibration runs: prompts x timesteps x guidance through the runtime's own sampler loop.

Each prompt runs with timesteps of its own: those of the model's spacing, each moved towards the
next by a share that grows from prompt to prompt, so that all prompts together cover the timesteps
of training evenly. Guided steps have both halves, with and without the prompt. Afterwards the
latents are decoded and the images encoded, so that every network sees realistic inputs. Models that
take an image get one with soft and sharp shapes.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image
from tqdm import tqdm

from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends import Backend
from sdrt.generation.denoising_pass import DenoisingPass
from sdrt.generation.run import Run
from sdrt.machine import give_back_memory
from sdrt.manifest import Manifest
from sdrt.networks.run_state import RunState
from sdrt.pipeline import Pipeline
from sdrt.request.options import Options
from sdrt.request.preprocessors import canny
from sdrt.request.resolve import resolve
from sdrt.sampling.schedule import Steps
from sdrt_export.graphs.parity import ReferenceCase
from sdrt_export.quantization.watched_networks import Observer, Recorder

DECODED_PIXELS = 512 * 512
"""Images are decoded and encoded until they have this many pixels together."""
VERIFIED_SIDE = 256
"""Side in pixels of the image, or its middle, that autoencoders are verified with: each engine runs
each form of them, in int8 and perhaps in bf16, which takes longer than the U-Net's few steps."""

# Things, places, light, people, styles: the ranges of activations depend on variety.
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
"""The prompt that the rounded graphs are verified with; it takes no part in the calibration."""


@dataclass(frozen=True)
class CalibrationSettings:
    """The runs that statistics are collected from."""

    samples: int = 8
    """The number of runs; when the list of prompts ends, it starts anew with other seeds."""
    steps: int = 3
    """The number of guided U-Net evaluations in each run."""
    prompts: tuple[str, ...] = PROMPTS
    """The prompts of the runs."""
    seed: int = 0
    """The seed of the first run; the others follow it."""
    size: tuple[int, int] | None = None
    """Width and height of the images, on which the time depends; None is the model's own size."""

    def size_for(self, manifest: Manifest) -> tuple[int, int]:
        """Width and height of the images that this model makes."""
        return self.size or (manifest.defaults.width, manifest.defaults.height)


def moved_steps(steps: Steps, share: float) -> Steps:
    """Move each timestep towards the next by a share of their distance.

    The first stays, because the noise starts there.
    """
    following = np.append(steps.timesteps[1:], 0.0)
    timesteps = steps.timesteps - share * (steps.timesteps - following)
    timesteps[0] = steps.timesteps[0]
    return Steps.at_timesteps(steps.noise, timesteps, float(steps.sigmas[-1]))


def observe_samples(
    artifact: Artifact, observer: Observer, settings: CalibrationSettings, show_progress: bool
) -> None:
    """Run all samples; the statistics are in the observer afterwards."""
    samples = list(_samples(settings))
    with tqdm(
        total=len(samples) * settings.steps, desc="calibrating", disable=not show_progress
    ) as bar:
        _run_all(artifact, observer.backend, samples, settings, bar.update)


def record_held_out(
    artifact: Artifact, settings: CalibrationSettings, threads: int
) -> dict[str, list[ReferenceCase]]:
    """Run a prompt that is not among the samples; returns inputs and outputs of each network."""
    recorder = Recorder(threads)
    held_out = [(HELD_OUT, settings.seed + 1_000_000, 0.5)]
    most = VERIFIED_SIDE // artifact.manifest.latent.downscale
    _run_all(artifact, recorder.backend, held_out, settings, lambda: None, most)
    return recorder.cases


def _samples(settings: CalibrationSettings) -> Iterator[tuple[str, int, float]]:
    """Prompt, seed, and the share that the timesteps are moved by."""
    for i in range(settings.samples):
        prompt = settings.prompts[i % len(settings.prompts)]
        yield prompt, settings.seed + i, i / settings.samples


def _run_all(
    artifact: Artifact,
    backend: Backend,
    samples: Iterable[tuple[str, int, float]],
    settings: CalibrationSettings,
    tick: Callable[[], object],
    most: int | None = None,
) -> None:
    """Run samples through each network; memory holds one network at a time.

    Of latents with a side over `most` only the middle is decoded.
    """
    pipeline = Pipeline(artifact, backend, keep={"unet"})
    width, height = settings.size_for(artifact.manifest)
    latents = []
    for prompt, seed, share in samples:
        options = image_options(artifact.manifest, seed, (width, height))
        options["seed"], options["num_inference_steps"] = seed, settings.steps
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
    pictures = [pipeline.decode(middle(sample, most))[0] for sample in latents[:count]]
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


def image_options(manifest: Manifest, seed: int, size: tuple[int, int]) -> Options:
    """An image of (width, height) for models that take one, with a mask for inpainting models.

    Depth models start from noise, over the brightness of that image.

    Its colours blend on the left, and have sharp edges on the right.
    """
    if not manifest.conditions:
        return {}
    width, height = size
    picture = _shapes(seed, size)
    if manifest.edits:
        return {"image": picture}
    if manifest.takes_depth:
        return {"depth": picture.convert("L")}
    mask = Image.new("L", size, "black")
    mask.paste("white", (width // 4, height // 4, width, height))
    return {"image": picture, "mask": mask}


def hint_for(seed: int, size: tuple[int, int]) -> Image.Image:
    """A hint of (width, height) with soft and sharp shapes; every second one has edges alone."""
    picture = _shapes(seed, size)
    return picture if seed % 2 else Image.fromarray(canny(np.asarray(picture)))


def _shapes(seed: int, size: tuple[int, int]) -> Image.Image:
    """A picture whose colours blend on the left, and have sharp edges on the right."""
    width, height = size
    colours = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    picture = Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC)
    right = width // 2, 0, width, height
    edges = Image.fromarray(colours).resize(size, Image.Resampling.NEAREST)
    picture.paste(edges.crop(right), right)
    return picture


def middle(array: Array, most: int | None) -> Array:
    """The middle of images or latents (rows, channels, height, width) with sides over `most`."""
    if most is None:
        return array
    top, left = (max(0, (side - most) // 2) for side in array.shape[2:])
    return array[:, :, top : top + most, left : left + most]
