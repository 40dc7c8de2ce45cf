"""The bodies of OpenAI's API for pictures, with the fields that other local servers add."""

import re
from typing import Annotated, Any, Literal, Self, cast

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sdrt.errors import UnsupportedError, UsageError
from sdrt.request.options import Options, Speed
from sdrt.sampling.noise import MAX_SEED
from sdrt_server.http.pictures import Format
from sdrt_server.service import Ask

Quality = Literal["auto", "standard", "hd", "low", "medium", "high"]
SPEED: dict[Quality, Speed] = {"low": "fast", "medium": "balanced", "high": "exact", "hd": "exact"}
"""The preset of speed that a quality stands for; others leave it to the model."""
THEIR_MODELS = re.compile(r"(dall-e|gpt-image)-.*|chatgpt-image.*")
"""OpenAI's own names, which programs send that cannot be told another; they mean the default."""
FAITHFUL = 0.5
"""The strength of an edit that is asked to keep to its picture."""
SAME = ("negative_prompt", "num_inference_steps", "guidance_scale", "strength", "sampler")
MORE = ("scheduler", "seed", "clip_skip")


class ImagesRequest(BaseModel):
    """What is asked for in any of the routes."""

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, frozen=True
    )

    prompt: str = ""
    model: str | None = None
    n: Annotated[int, Field(ge=1, le=64)] | None = None
    """How many pictures."""
    size: Annotated[str, Field(pattern=r"^(auto|[0-9]{1,5}x[0-9]{1,5})$")] | None = None
    """Width x height, multiples of 8; "auto" for the model's own, or the image's."""
    response_format: Literal["b64_json", "url"] | None = None
    """By default "b64_json". A url is good for as long as the server remembers the job."""
    output_format: Format | None = None
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = None
    """Quality of jpeg and webp in percent."""
    quality: Quality | None = None
    """low, medium and high stand for the speed presets fast, balanced and exact."""
    background: Literal["auto", "opaque", "transparent"] | None = None
    stream: bool | None = None
    partial_images: Annotated[int, Field(ge=0, le=3)] | None = None
    """How many pictures a stream shows on the way."""
    user: str | None = None
    """Without effect."""
    negative_prompt: str | None = None
    num_inference_steps: Annotated[int, Field(ge=1)] | None = None
    guidance_scale: Annotated[float, Field(ge=0)] | None = None
    seed: Annotated[int, Field(ge=-1, le=MAX_SEED)] | None = None
    rng_seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    """The same as `seed`, by the name of OpenVINO Model Server."""
    num_images_per_prompt: Annotated[int, Field(ge=1)] | None = None
    """The same as `n`."""
    strength: Annotated[float, Field(ge=0, le=1)] | None = None
    sampler: str | None = None
    scheduler: str | None = None
    speed: Speed | None = None
    clip_skip: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for name, other in (("seed", "rng_seed"), ("n", "num_images_per_prompt")):
            if getattr(self, name) is not None and getattr(self, other) is not None:
                raise ValueError(f"{name} and {other} mean the same; give one of them")
        return self

    @property
    def format(self) -> Format:
        """The format of the pictures."""
        return self.output_format or "png"

    def to_ask(self, pictures: dict[str, Any] | None = None) -> Ask:
        """What the service is asked for; raises `UnsupportedError` for what only OpenAI has."""
        if self.background == "transparent":
            raise UnsupportedError("pictures have no transparent background; leave it out")
        options: dict[str, Any] = {
            name: value for name in (*SAME, *MORE) if (value := getattr(self, name)) is not None
        }
        if self.rng_seed is not None:
            options["seed"] = self.rng_seed
        if options.get("seed") == -1:
            del options["seed"]
        count = self.n if self.n is not None else self.num_images_per_prompt
        if count is not None:
            options["num_images_per_prompt"] = count
        speed = self.speed or (SPEED.get(self.quality) if self.quality else None)
        if speed:
            options["speed"] = speed
        if self.size not in (None, "auto"):
            width, _, height = str(self.size).partition("x")
            options["width"], options["height"] = int(width), int(height)
        options |= pictures or {}
        is_theirs = self.model is not None and THEIR_MODELS.fullmatch(self.model)
        return Ask(
            prompt=self.prompt,
            options=cast(Options, options),
            model=None if is_theirs else self.model,
            preview=None if self.stream and self.partial_images else "none",
        )


class GenerationRequest(ImagesRequest):
    """The body of `generations`."""

    prompt: str
    moderation: Literal["low", "auto"] | None = None
    """Without effect."""
    style: Literal["vivid", "natural"] | None = None
    """Without effect."""


class EditRequest(ImagesRequest):
    """The form of `edits` and `variations`."""

    image: list[UploadFile] = []
    """The image to change."""
    images: Annotated[list[UploadFile], Field(alias="image[]")] = []
    """The same, by the name that clients give to lists."""
    mask: UploadFile | None = None
    """Of the image's size. One with transparent parts is repainted there, others where white."""
    input_fidelity: Literal["high", "low"] | None = None
    """With high the picture stays nearer to the image."""

    def to_ask(self, pictures: dict[str, Any] | None = None) -> Ask:
        """What the service is asked for; raises `UsageError` for two strengths."""
        ask = super().to_ask(pictures)
        if self.input_fidelity == "high":
            if self.strength is not None:
                raise UsageError("input_fidelity and strength were given; give one", "strength")
            ask.options["strength"] = FAITHFUL
        return ask
