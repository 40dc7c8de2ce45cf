"""Options of an export as plain values. Imports nothing heavy, so that `sdrt --help` stays fast."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class SourceOptions:
    """What the user knows about a source besides its path."""

    config: str | None = None
    """The name or path of an LDM YAML file, for a checkpoint in one file."""
    allow_pickle: bool = False
    """Whether pickled checkpoints are read too."""
    prediction: str | None = None
    """What the U-Net predicts, whatever its configuration and its weights show."""
    zero_terminal_snr: bool = False
    """Whether the model was trained with no signal left at the last timestep."""
    spacing: str | None = None
    """The spacing of timesteps, if not the one of the scheduler's configuration."""
    lora: tuple[str, ...] = ()
    """The LoRAs to merge, each as `FILE[:WEIGHT]`."""
    tiny_vae: Path | None = None
    """A tiny autoencoder of the same latents, to be exported next to the model's own."""


@dataclass(frozen=True)
class Int8Options:
    """The options that only an export in int8 has; None stands for the default."""

    calibration: Path | None = None
    """The file that statistics are read from, or written to if it does not exist."""
    calibration_samples: int | None = None
    """The number of prompts to run."""
    calibration_steps: int | None = None
    """The number of steps for each prompt."""
    calibration_prompts: Path | None = None
    """A text file with one prompt a line, in place of the built-in list."""
    calibration_size: tuple[int, int] | None = None
    """Width and height of the images in pixels, by default the model's own."""
    calibration_seed: int | None = None
    """The seed of the first prompt's noise; the others follow it."""
    calibration_model: Path | None = None
    """The model folder whose runs a ControlNet is calibrated in."""
    publish_anyway: bool = False
    """Whether a U-Net below the floor of its verification is published too."""


@dataclass(frozen=True)
class DefaultOptions:
    """Generation options that become an artifact's defaults or are built into a single graph.

    None stands for the model's own.
    """

    sampler: str | None = None
    """The sampling method."""
    scheduler: str | None = None
    """The spacing of noise levels."""
    steps: int | None = None
    """The number of steps."""
    size: tuple[int, int] | None = None
    """Width and height in pixels; a single graph without them takes any size in every call."""
    guidance_scale: float | None = None
    """The guidance scale; 1 is none."""
    sampler_options: Mapping[str, float | str | bool] = field(default_factory=dict)
    """Options of the sampler by their names."""


@dataclass(frozen=True)
class ExportOptions:
    """Everything that an export is given besides its source and its destination."""

    random: str | None = None
    """The preset whose geometry gets random weights, in place of a source."""
    preset: str | None = None
    """The preset that gives precision, formats and defaults, and perhaps the source."""
    precision: str | None = None
    """fp32, bf16 or int8; by default the preset's, the configuration's, or fp32."""
    formats: str | None = None
    """Formats separated by commas; by default the preset's, or all."""
    source: SourceOptions = SourceOptions()
    """How the source is to be read."""
    int8: Int8Options = Int8Options()
    """How int8 is to be made."""
    defaults: DefaultOptions = DefaultOptions()
    """What becomes the model's defaults."""
    quiet: bool = False
    """Whether to show no progress."""
