"""`speed.json` in a model folder: the presets of speed that `sdrt tune --save` found for it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from sdrt.errors import ArtifactError
from sdrt.files.atomic import whole_file
from sdrt.files.text_file import read_text
from sdrt.manifest import Model, Positive, Sha256, Spacing, explain_validation_error

FILE = "speed.json"
SCHEMA: Literal[1] = 1
TunedName = Literal["balanced", "fast"]


class TunedPreset(Model):
    """The settings of a preset; those that are left out are the model's own."""

    sampler: str
    scheduler: str = "default"
    spacing: Spacing | None = None
    sampler_options: dict[str, bool | int | float | str] = {}
    num_inference_steps: Positive
    guidance_start: float = 0.0
    guidance_end: float = 1.0
    cache_interval: Positive = 1


class TunedFile(Model):
    """What the file holds."""

    schema_version: Literal[1] = Field(default=SCHEMA, alias="schema")
    model_hash: Sha256
    """The hash of the model's manifest, as `sdrt info` shows it."""
    processor: str
    """The processor that times were measured on."""
    presets: dict[TunedName, TunedPreset]
    made_with: dict[str, str] = {}


@dataclass(frozen=True)
class TunedSpeed:
    """What a model folder says about the presets."""

    presets: Mapping[TunedName, TunedPreset] = field(default_factory=dict)
    warning: str | None = None
    """What is wrong with the file, where it is of another model or processor."""


NOT_TUNED = TunedSpeed()


def read_tuned_speed(root: Path, model_hash: str, processor: str) -> TunedSpeed:
    """Read the file of a model folder; there need not be one.

    That of another model is left aside, which a warning says; that of another processor is used,
    with a warning. Raises `ArtifactError` for a file that is damaged.
    """
    path = root / FILE
    if not path.exists():
        return NOT_TUNED
    text = read_text(path, "presets of speed", error=ArtifactError)
    try:
        found = TunedFile.model_validate_json(text)
    except ValidationError as error:
        raise ArtifactError(
            f"{path}: {explain_validation_error(error)}; write it again with: sdrt tune --save, "
            "or remove it"
        ) from error
    if found.model_hash != model_hash:
        return TunedSpeed(
            warning=f"{path} is of another model ({found.model_hash[:12]}, this one is "
            f"{model_hash[:12]}), so the presets of speed are those of sdrt; write it again with: "
            "sdrt tune --save"
        )
    if found.processor != processor:
        return TunedSpeed(
            found.presets,
            f"{path} was measured on {found.processor!r}, and this is {processor!r}: its presets "
            "are as good here, and others may be faster",
        )
    return TunedSpeed(found.presets)


def write_tuned_speed(root: Path, content: TunedFile) -> Path:
    """Write the file, whole; raises `WriteError` where the folder cannot be written."""
    path = root / FILE
    text = json.dumps(content.model_dump(by_alias=True), indent=1) + "\n"
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
