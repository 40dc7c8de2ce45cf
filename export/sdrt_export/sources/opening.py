"""Sources of an export: a path, and what the user knows about it better than its files."""

from dataclasses import dataclass, replace
from pathlib import Path

from sdrt import validation
from sdrt.adapters.lora_loading import LoraSpec
from sdrt.errors import UsageError
from sdrt.manifest import PREDICTIONS, SPACINGS
from sdrt_export.sources.checkpoint import Checkpoint
from sdrt_export.sources.diffusers_folder import FolderCheckpoint
from sdrt_export.sources.hub import HubId, fetch
from sdrt_export.sources.lora import with_loras
from sdrt_export.sources.prediction_probe import OPTION
from sdrt_export.sources.single_file.checkpoint import SingleFileCheckpoint
from sdrt_export.sources.tiny_vae import open_tiny_vae


@dataclass(frozen=True)
class SourceOptions:
    """What is said about a source beside its path."""

    config: str | None = None
    """Name or path of an LDM YAML file, for a checkpoint in one file."""
    allow_pickle: bool = False
    prediction: str | None = None
    """What the U-Net predicts, whatever its configuration and its weights say."""
    zero_terminal_snr: bool = False
    """Whether the model was trained with no signal left at the last timestep."""
    spacing: str | None = None
    """Of evenly spaced timesteps, if not as the scheduler's configuration says."""
    lora: tuple[str, ...] = ()
    """LoRAs to merge, each as `FILE[:WEIGHT]`."""
    tiny_vae: Path | None = None
    """A tiny autoencoder of the same latents, to be exported beside the model's own."""

    def check(self) -> None:
        """Raise `UsageError` for a prediction or a spacing that does not exist."""
        if self.prediction is not None and self.prediction not in PREDICTIONS:
            raise UsageError(
                f"unknown prediction {self.prediction!r}; known: {', '.join(PREDICTIONS)}"
            )
        if self.spacing is not None:
            validation.known("spacing", self.spacing, SPACINGS)

    def apply(self, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint as the user describes it."""
        self.check()
        if self.tiny_vae is not None:
            open_tiny_vae(self.tiny_vae, checkpoint.latent)  # what is none is refused before work
            checkpoint = replace(checkpoint, tiny_vae=self.tiny_vae)
        if self.prediction is not None:
            checkpoint = checkpoint.with_scheduler(OPTION, prediction_type=self.prediction)
        if self.zero_terminal_snr:
            # Only the trailing spacing begins at the last timestep (Lin et al. 2023, section 3.3).
            checkpoint = checkpoint.with_scheduler(
                rescale_betas_zero_snr=True, timestep_spacing="trailing"
            )
            if not checkpoint.schedule.zero_terminal_snr:
                raise _unknown_to_scheduler("--zero-terminal-snr", checkpoint)
        if self.spacing is not None:
            checkpoint = checkpoint.with_scheduler(timestep_spacing=self.spacing)
            if checkpoint.schedule.spacing != self.spacing:
                raise _unknown_to_scheduler("--spacing", checkpoint)
        return with_loras(checkpoint, [LoraSpec.parse(text) for text in self.lora])


def _unknown_to_scheduler(option: str, checkpoint: Checkpoint) -> UsageError:
    name = checkpoint.configs["scheduler"]["_class_name"]
    return UsageError(
        f"{option}: the {name} of {checkpoint.name} does not know it; expected a scheduler such as "
        "DDIMScheduler in its scheduler_config.json"
    )


def open_checkpoint(source: str | Path, options: SourceOptions | None = None) -> Checkpoint:
    """Open a diffusers folder or a checkpoint in one file, of this machine or of the hub.

    Loads no weights. A relative path that does not exist, in no folder that does, is the id of a
    model on the hub.
    """
    path, options = Path(source), options or SourceOptions()
    options.check()
    model = HubId.parse(str(source))
    if model is None or path.exists() or Path(path.parts[0]).exists():
        return options.apply(_open(path, options))
    path, origin = fetch(model)
    opened = _open(path, options)
    name = path.stem if model.file else model.repository.rpartition("/")[2]
    return options.apply(replace(opened, name=name, source=origin))


def _open(path: Path, options: SourceOptions) -> Checkpoint:
    if path.is_file():
        return SingleFileCheckpoint.open(path, options.config, options.allow_pickle)
    if options.config is not None:
        raise UsageError(
            f"--config is for a checkpoint in one file, and {path} is none; a folder has "
            "configurations of its own"
        )
    return FolderCheckpoint.open(path)
