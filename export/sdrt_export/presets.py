"""Presets: a source or a geometry, a precision, formats and generation defaults, as YAML."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError, model_validator

from sdrt.errors import UsageError
from sdrt.files.text_file import read_text
from sdrt.manifest import (
    FORMATS,
    PRECISIONS,
    Defaults,
    Format,
    Model,
    Precision,
    explain_validation_error,
)
from sdrt.sampling.scheduler_config import DIFFUSERS_SCHEDULERS
from sdrt.validation import hint

CLASS, DEFAULT_SCHEDULER = "_class_name", "DDIMScheduler"
Config = dict[str, Any]


class Geometry(Model):
    """Sizes of the networks, as arguments of their configuration classes."""

    text_encoder: Config | None = None
    text_encoder_2: Config | None = None
    unet: Config
    vae: Config
    scheduler: Config

    @model_validator(mode="after")
    def _has_a_text_encoder(self) -> "Geometry":
        if self.text_encoder is None and self.text_encoder_2 is None:
            raise ValueError("expected a text_encoder")
        return self


class Preset(Model):
    """A source, or a geometry of a model or a ControlNet, and how to export it."""

    summary: str = ""
    """A few words for the list of presets."""
    source: str | None = None
    """The path or id of a model."""
    geometry: Geometry | None = None
    """Sizes of networks to be filled with random weights."""
    controlnet: Config | None = None
    """Sizes of a ControlNet to be filled with random weights."""
    precision: Precision = "fp32"
    """The precision to export in."""
    formats: tuple[Format, ...] = ("onnx", "openvino")
    """The formats to export."""
    defaults: Defaults = Defaults()
    """The generation defaults of the artifact."""

    @model_validator(mode="after")
    def _has_one_origin(self) -> "Preset":
        if sum(each is not None for each in (self.source, self.geometry, self.controlnet)) != 1:
            raise ValueError("expected either source or geometry, or the sizes of a controlnet")
        return self


def chosen_formats(precision: str, formats: Sequence[str]) -> tuple[Format, ...]:
    """The formats in a fixed order; raises `UsageError` for an unknown format or precision."""
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        shown = repr(unknown[0]) if unknown else "no format"
        raise UsageError(f"unknown format: {shown}; known: {', '.join(FORMATS)}")
    return tuple(name for name in FORMATS if name in formats)


def read_preset(name_or_path: str | Path) -> tuple[str, Preset]:
    """Read a preset by its name or its file, and return its name too; raises `UsageError`."""
    path = find_preset(name_or_path)
    data = read_yaml(path)
    _check_keys(path, "", data, list(Preset.model_fields))
    if data.get("geometry") is not None:
        _check_geometry(path, data["geometry"])
    if data.get("controlnet") is not None:
        _check_controlnet(path, data["controlnet"])
    _check_keys(path, "defaults", data.get("defaults") or {}, list(Defaults.model_fields))
    return path.stem, _preset(path, data)


def read_yaml(path: Path) -> Any:
    """Plain values of a YAML file; raises `UsageError` for invalid and for huge files."""
    text = read_text(path, "a configuration")
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error


def presets() -> dict[str, Path]:
    """The presets that come with sdrt, by name."""
    paths = {path.stem: path for path in config_folder().glob("*.yaml")}
    return dict(sorted(paths.items()))


def known_presets() -> dict[str, Preset]:
    """The same, read, but with unchecked geometries: the check takes diffusers and seconds."""
    return {name: _preset(path, read_yaml(path)) for name, path in presets().items()}


def config_folder() -> Path:
    """The folder of presets: next to this file if installed, `configs` in a checkout."""
    installed = Path(__file__).parent / "presets"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "configs"


def find_preset(name_or_path: str | Path) -> Path:
    """The file of a preset, by its name or its path; raises `UsageError` if there is none."""
    path, known = Path(name_or_path), presets()
    if path.is_file():
        return path
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    raise UsageError(
        f"there is no preset {str(name_or_path)!r}; known: {', '.join(known)}, or the path of a "
        "YAML file"
    )


def _preset(path: Path, data: Any) -> Preset:
    try:
        return Preset.model_validate(data)
    except ValidationError as error:
        raise UsageError(f"{path}: {explain_validation_error(error)}") from error


def _check_geometry(path: Path, geometry: Any) -> None:
    """Refuse settings that the configuration classes would silently keep as extra attributes."""
    import diffusers
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig

    _check_keys(path, "geometry", geometry, list(Geometry.model_fields))
    scheduler = _scheduler_class(path, geometry.get("scheduler"))
    classes = {
        "text_encoder": CLIPTextConfig,
        "text_encoder_2": CLIPTextConfig,
        "unet": UNet2DConditionModel,
        "vae": AutoencoderKL,
        "scheduler": getattr(diffusers, scheduler),
    }
    for part, cls in classes.items():
        known = [name for name in inspect.signature(cls.__init__).parameters if name != "self"]
        known += [CLASS] if part == "scheduler" else []
        _check_keys(path, f"geometry.{part}", geometry.get(part) or {}, known)


def _check_controlnet(path: Path, sizes: Any) -> None:
    from diffusers import ControlNetModel

    known = [name for name in inspect.signature(ControlNetModel.__init__).parameters]
    _check_keys(path, "controlnet", sizes, [name for name in known if name != "self"])


def _scheduler_class(path: Path, scheduler: Any) -> str:
    """The class of a preset's scheduler in diffusers, by default DDIM's."""
    is_mapping = isinstance(scheduler, dict)
    name = scheduler.get(CLASS, DEFAULT_SCHEDULER) if is_mapping else DEFAULT_SCHEDULER
    if name not in DIFFUSERS_SCHEDULERS:
        raise UsageError(
            f"{path}, geometry.scheduler: {CLASS} is {name!r}; known: "
            f"{', '.join(DIFFUSERS_SCHEDULERS)}"
        )
    return str(name)


def _check_keys(path: Path, where: str, content: Any, known: list[str]) -> None:
    place = f"{path}, {where}" if where else str(path)
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise UsageError(f"{place}: expected names with values, found {kind}")
    unknown = [str(key) for key in content if key not in known]
    if unknown:
        raise UsageError(
            f"{place}: unknown key {unknown[0]!r}; known: {', '.join(known)}"
            f"{hint(unknown[0], known)}"
        )
