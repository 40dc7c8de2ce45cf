"""Open the source of an export, and apply what the user knows about it besides its files."""

from dataclasses import replace
from pathlib import Path

from sdrt import validation
from sdrt.adapters.lora_loading import LoraSpec
from sdrt.errors import UnsupportedError, UsageError
from sdrt.manifest import PREDICTIONS, SPACINGS
from sdrt_export.export_options import SourceOptions
from sdrt_export.sources.checkpoint import Checkpoint
from sdrt_export.sources.controlnet import (
    ControlNetCheckpoint,
    ControlNetFolderCheckpoint,
    is_controlnet_folder,
)
from sdrt_export.sources.diffusers_folder import FolderCheckpoint
from sdrt_export.sources.hub import HubId, fetch
from sdrt_export.sources.lora import with_loras
from sdrt_export.sources.prediction_probe import OPTION
from sdrt_export.sources.single_file.checkpoint import SingleFileCheckpoint
from sdrt_export.sources.single_file.controlnet import (
    ControlNetFileCheckpoint,
    is_controlnet_file,
)
from sdrt_export.sources.single_file.weights_file import open_weights
from sdrt_export.sources.tiny_vae import open_tiny_vae


def check_options(options: SourceOptions) -> None:
    """Raise `UsageError` for a prediction or a spacing that does not exist."""
    if options.prediction is not None and options.prediction not in PREDICTIONS:
        raise UsageError(
            f"unknown prediction {options.prediction!r}; known: {', '.join(PREDICTIONS)}"
        )
    if options.spacing is not None:
        validation.known("spacing", options.spacing, SPACINGS)


def apply_options(checkpoint: Checkpoint, options: SourceOptions) -> Checkpoint:
    """The checkpoint as the user describes it; raises `UsageError` for a contradiction."""
    check_options(options)
    if options.tiny_vae is not None:
        open_tiny_vae(options.tiny_vae, checkpoint.latent)  # an unfit one is refused before work
        checkpoint = replace(checkpoint, tiny_vae=options.tiny_vae)
    if options.prediction is not None:
        checkpoint = checkpoint.with_scheduler(OPTION, prediction_type=options.prediction)
    if options.zero_terminal_snr:
        # Only the trailing spacing begins at the last timestep (Lin et al. 2023, section 3.3).
        checkpoint = checkpoint.with_scheduler(
            rescale_betas_zero_snr=True, timestep_spacing="trailing"
        )
        if not checkpoint.schedule.zero_terminal_snr:
            raise _unknown_to_scheduler("--zero-terminal-snr", checkpoint)
    if options.spacing is not None:
        checkpoint = checkpoint.with_scheduler(timestep_spacing=options.spacing)
        if checkpoint.schedule.spacing != options.spacing:
            raise _unknown_to_scheduler("--spacing", checkpoint)
    return with_loras(checkpoint, [LoraSpec.parse(text) for text in options.lora])


def _unknown_to_scheduler(option: str, checkpoint: Checkpoint) -> UsageError:
    name = checkpoint.configs["scheduler"]["_class_name"]
    return UsageError(
        f"{option}: the {name} of {checkpoint.name} does not know it; expected a scheduler such as "
        "DDIMScheduler in its scheduler_config.json"
    )


def open_checkpoint(source: str | Path, options: SourceOptions | None = None) -> Checkpoint:
    """Open a diffusers folder or a checkpoint in one file, from this machine or from the hub.

    Loads no weights. A relative path is the id of a model on the hub if neither it nor the first
    folder in it exists.
    """
    opened = open_source(source, options)
    if isinstance(opened, ControlNetCheckpoint):
        raise UnsupportedError(f"{source} is a ControlNet; expected a whole model")
    return opened


def open_source(
    source: str | Path, options: SourceOptions | None = None
) -> Checkpoint | ControlNetCheckpoint:
    """The same, and ControlNets too, which take none of the options but `allow_pickle`."""
    path, options = Path(source), options or SourceOptions()
    check_options(options)
    model = HubId.parse(str(source))
    if model is None or path.exists() or Path(path.parts[0]).exists():
        return _applied(_open(path, options), options)
    path, origin = fetch(model)
    opened = _open(path, options)
    name = path.stem if model.file else model.repository.rpartition("/")[2]
    return _applied(replace(opened, name=name, source=origin), options)


def _applied(
    opened: Checkpoint | ControlNetCheckpoint, options: SourceOptions
) -> Checkpoint | ControlNetCheckpoint:
    if isinstance(opened, Checkpoint):
        return apply_options(opened, options)
    if replace(options, allow_pickle=False) != SourceOptions():
        raise UsageError(
            f"{opened.name} is a ControlNet, which has no scheduler, decoder or text encoder: "
            "leave out --config, --prediction, --zero-terminal-snr, --spacing, --lora, --tiny-vae"
        )
    return opened


def _open(path: Path, options: SourceOptions) -> Checkpoint | ControlNetCheckpoint:
    if is_controlnet_folder(path):
        return ControlNetFolderCheckpoint.open(path)
    if path.is_file():
        file = open_weights(path, options.allow_pickle)
        if is_controlnet_file(file.shapes):
            return ControlNetFileCheckpoint.of(file)
        return SingleFileCheckpoint.of(file, options.config)
    if options.config is not None:
        raise UsageError(
            f"--config is for a checkpoint in one file, and {path} is not one; a folder has "
            "configurations of its own"
        )
    return FolderCheckpoint.open(path)
