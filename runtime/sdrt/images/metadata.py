"""Parameters of a picture in its PNG: JSON for programs, and A1111's text for other tools.

The JSON chunk `sdrt` is authoritative. The text chunk `parameters` is what AUTOMATIC1111's web UI
and the many tools around it read; it is ambiguous by design (a prompt may look like parameters).
"""

import io
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from sdrt.backends.executed import NetworkRecord
from sdrt.errors import UsageError
from sdrt.sampling.samplers.registry import SAMPLERS
from sdrt.sampling.samplers.sampler import Option

CHUNK = "sdrt"
SCHEMA = 2
RENAMED_IN_2 = {
    "part": "denoising_range",
    "framing": "size_conditioning",
    "words": "textual_inversions",
    "embeddings": "prompt_embeddings",
}
"""New names of fields of schema 1 that are otherwise the same."""


@dataclass(frozen=True)
class Sheet:
    """The pictures of a sheet, which has the parameters of its first picture."""

    columns: int
    seeds: list[int]
    """A seed for each picture, or for each row of a trajectory."""
    steps: list[int] | None = None
    """The number of steps done in each column of a trajectory."""


@dataclass(frozen=True)
class Parameters:
    """Everything that is needed to make a picture again."""

    prompt: str
    negative_prompt: str
    seed: int
    width: int
    height: int
    num_inference_steps: int
    clip_skip: int
    style: str | None
    """The name of the style, whose words both prompts already contain."""
    prompt_embeddings: dict[str, str]
    """SHA-256 of the embeddings given in place of prompts, which are too large to store here."""
    init_image: dict[str, str]
    """SHA-256 of the pixels of the initial image, of its mask and of the depth map.

    Each is left out where there is none.
    """
    strength: float | None
    """The strength for the initial image; None without one, and for models that edit it."""
    paste: bool | None
    """Whether the unmasked pixels were pasted back; None without an initial image."""
    vae_tiling: bool
    """Whether the VAE worked in tiles."""
    hires: dict[str, float] | None
    """Scale, strength, steps and size of the second pass; None without one.

    `width` and `height` are those of the first pass.
    """
    denoising_range: dict[str, Any] | None
    """The part of a run that was done, if not all of it: start and end, as shares of the run.

    With SHA-256 of the latents that it continued, and name and hash of the base model that made
    them, where it is known.
    """
    size_conditioning: dict[str, tuple[int, int] | float]
    """SDXL's size and crop conditioning, as options; empty for models without it."""
    sampler: str
    scheduler: str
    spacing: str
    steps_offset: int
    sampler_options: dict[str, Option]
    guidance_scale: float
    image_guidance_scale: float | None
    """The guidance scale for the picture of models that edit; None for all others."""
    guidance_rescale: float
    guidance_start: float
    guidance_end: float
    speed: str
    """The preset whose settings filled the gaps of the options."""
    cache_interval: int
    """One evaluation of the U-Net in so many computed all of it, if it was due."""
    cache_depth: int
    """The skip connection at which deep features were kept."""
    evaluations: dict[str, int]
    """How many evaluations of the U-Net were whole, shallow, and unguided in a guided run."""
    model: str
    model_hash: str
    """SHA-256 of the artifact's manifest, which has the hashes of all other files."""
    loras: list[dict[str, Any]]
    """File name, SHA-256 and weight of each LoRA that was used."""
    textual_inversions: list[dict[str, str]]
    """Word, file name and SHA-256 of each textual inversion that was loaded."""
    stored_precision: str
    """The precision of the U-Net's weights."""
    executed_precision: str
    """The precision that the U-Net ran in, which takes most of the time."""
    networks: dict[str, NetworkRecord]
    """The networks that ran for the picture, by name."""
    backend: str
    threads: int
    version: str
    controls: list[dict[str, Any]] = field(default_factory=list)
    """Name and hash of each ControlNet, SHA-256 of its hint's pixels, its weight and its range."""
    guess_mode: bool = False
    """Whether ControlNets guided the prompt's own branch alone."""

    def to_a1111(self) -> str:
        """The text that AUTOMATIC1111 writes into `parameters`."""
        lines = [" ".join(filter(None, [self.prompt, *self._lora_words()]))]
        if self.negative_prompt:
            lines.append(f"Negative prompt: {self.negative_prompt}")
        fields = {
            "Steps": self.num_inference_steps,
            "Sampler": SAMPLERS[self.sampler].a1111,
            **self._schedule_type(),
            "CFG scale": f"{self.guidance_scale:g}",
            **self._image_guidance(),
            "Seed": self.seed,
            "Size": f"{self.width}x{self.height}",
            **self._denoising(),
            **self._models(),
            **({} if self.clip_skip == 1 else {"Clip skip": self.clip_skip}),
            "RNG": "CPU",  # readers take a missing RNG for GPU
            "Version": f"sdrt {self.version}",
        }
        lines.append(", ".join(f"{name}: {_quoted(value)}" for name, value in fields.items()))
        return "\n".join(lines)

    def _lora_words(self) -> list[str]:
        """LoRAs as A1111 writes them into the prompt."""
        return [f"<lora:{Path(lora['file']).stem}:{lora['weight']:g}>" for lora in self.loras]

    def _image_guidance(self) -> dict[str, str]:
        scale = self.image_guidance_scale
        return {} if scale is None else {"Image CFG scale": f"{scale:g}"}

    def _denoising(self) -> dict[str, object]:
        """A1111 has one strength only: with a second pass, that of the second pass."""
        if self.hires:
            return {
                "Denoising strength": f"{self.hires['strength']:g}",
                "Hires upscale": f"{self.hires['scale']:g}",
                "Hires steps": self.hires["num_inference_steps"],
                "Hires upscaler": "Lanczos",
            }
        return {} if self.strength is None else {"Denoising strength": f"{self.strength:g}"}

    def _models(self) -> dict[str, object]:
        """In A1111 the model is the base, and a refiner is an addition to it."""
        this_model: dict[str, object] = {"Model hash": self.model_hash[:10], "Model": self.model}
        base = self.denoising_range["base"] if self.denoising_range else None
        if not self.denoising_range or not base:
            return this_model
        return {
            "Model hash": base["model_hash"][:10],
            "Model": base["model"],
            "Refiner": f"{self.model} [{self.model_hash[:10]}]",
            "Refiner switch at": f"{self.denoising_range['start']:g}",
        }

    def _schedule_type(self) -> dict[str, str]:
        return {} if self.scheduler == "default" else {"Schedule type": self.scheduler.title()}

    def record(self) -> dict[str, Any]:
        """All of it as plain values; what only ControlNets have is left out without one."""
        record = asdict(self)
        if not self.controls:
            del record["controls"], record["guess_mode"]
        return record

    def to_json(self, sheet: Sheet | None = None) -> str:
        """The text of the chunk `sdrt`, of a picture or of a sheet of pictures."""
        record = {"schema": SCHEMA, **self.record()}
        if sheet:
            record["sheet"] = {
                name: value for name, value in asdict(sheet).items() if value is not None
            }
        return json.dumps(record, ensure_ascii=False)


def png_chunks(parameters: Parameters, sheet: Sheet | None = None) -> PngInfo:
    """Both forms of the parameters, for Pillow's PNG writer."""
    chunks = PngInfo()
    chunks.add_text("parameters", parameters.to_a1111())
    chunks.add_itxt(CHUNK, parameters.to_json(sheet))
    return chunks


def read_png(path: Path, contents: bytes | None = None) -> dict[str, Any]:
    """Read a PNG's size, and its chunks `sdrt` and `parameters` where it has them.

    With `contents` these are read, and the path is only their name in messages. Raises `UsageError`
    for a file that is no PNG. The file need not be trusted.
    """
    file = path if contents is None else io.BytesIO(contents)
    try:
        with Image.open(file, formats=("PNG",)) as image:
            texts = {key: str(value) for key, value in image.text.items()}  # type: ignore[attr-defined]
            record: dict[str, Any] = {"width": image.width, "height": image.height}
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        reason = "" if contents is not None else f": {error}"  # which names Python's object
        raise UsageError(f"{path} is no readable PNG picture{reason}") from error
    if "parameters" in texts:
        record["parameters"] = texts["parameters"]
    if CHUNK in texts:
        try:
            record[CHUNK] = _current(json.loads(texts[CHUNK]))
        except (json.JSONDecodeError, RecursionError) as error:
            raise UsageError(f"{path}: its chunk {CHUNK!r} is not valid JSON: {error}") from error
    return record


def _current(record: Any) -> Any:
    """The record in the present schema, whichever version of sdrt wrote it."""
    if not isinstance(record, dict) or record.get("schema") != 1:
        return record
    return {RENAMED_IN_2.get(name, name): value for name, value in record.items()} | {
        "schema": SCHEMA
    }


def _quoted(value: object) -> str:
    """A1111 reads values up to the next comma unless they are quoted as JSON."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(c in text for c in ',:\n"') else text
