"""The bodies of AUTOMATIC1111's API. Fields without a counterpart are accepted, as there."""

from typing import Annotated, Any, cast

from PIL import Image, ImageOps
from pydantic import BaseModel, ConfigDict, Field

from sdrt.errors import UsageError
from sdrt.request.options import Options
from sdrt.sampling.noise import MAX_SEED
from sdrt.sampling.samplers.registry import SAMPLERS
from sdrt_server.http.pictures import from_base64, open_picture
from sdrt_server.infotext import read_sampler, split_loras
from sdrt_server.service import Ask

Whole = Annotated[int, Field(ge=0, le=2**31)]


class OverrideSettings(BaseModel):
    """Settings for one request; others than these are without effect."""

    model_config = ConfigDict(extra="allow", frozen=True)

    sd_model_checkpoint: str | None = None
    CLIP_stop_at_last_layers: Annotated[int, Field(ge=1)] | None = None


class TextToImage(BaseModel):
    """The body of `txt2img`."""

    model_config = ConfigDict(
        extra="allow", allow_inf_nan=False, use_attribute_docstrings=True, frozen=True
    )

    prompt: str = ""
    """`<lora:NAME:WEIGHT>` adds a LoRA."""
    negative_prompt: str = ""
    styles: list[str] | None = None
    """At most one."""
    seed: Annotated[int, Field(ge=-1, le=MAX_SEED)] | None = None
    sampler_name: str | None = None
    sampler_index: str | None = None
    """The older name of `sampler_name`."""
    scheduler: str | None = None
    batch_size: Annotated[int, Field(ge=1)] | None = None
    n_iter: Annotated[int, Field(ge=1)] | None = None
    """Times batch_size is how many pictures are made."""
    steps: Annotated[int, Field(ge=1)] | None = None
    cfg_scale: Annotated[float, Field(ge=0)] | None = None
    width: Whole | None = None
    height: Whole | None = None
    eta: Annotated[float, Field(ge=0, le=1)] | None = None
    clip_skip: Annotated[int, Field(ge=1)] | None = None
    denoising_strength: Annotated[float, Field(ge=0, le=1)] | None = None
    enable_hr: bool | None = None
    hr_scale: Annotated[float, Field(gt=0)] | None = None
    hr_second_pass_steps: Whole | None = None
    hr_resize_x: Whole | None = None
    hr_resize_y: Whole | None = None
    override_settings: OverrideSettings | None = None
    send_images: bool | None = None

    @property
    def ignored(self) -> list[str]:
        """The names of fields without effect that were given a value."""
        return sorted(name for name, value in (self.model_extra or {}).items() if value)

    def options(self, max_pixels: int) -> dict[str, Any]:
        """Options of a run; raises `UsageError`."""
        given: dict[str, Any] = {
            "negative_prompt": self.negative_prompt or None,
            "style": self._style(),
            "seed": None if self.seed == -1 else self.seed,
            "num_inference_steps": self.steps,
            "guidance_scale": self.cfg_scale,
            "width": self.width or None,
            "height": self.height or None,
            "num_images_per_prompt": (self.batch_size or 1) * (self.n_iter or 1),
            "clip_skip": self.clip_skip,
            **self._sampler(),
            **(self._hires() if self.enable_hr else {}),
        }
        settings = self.override_settings
        if settings and settings.CLIP_stop_at_last_layers:
            given["clip_skip"] = settings.CLIP_stop_at_last_layers
        return {name: value for name, value in given.items() if value is not None}

    def to_ask(self, model: str, max_pixels: int, words: list[str]) -> Ask:
        """What the service is asked for; `words` are embeddings, used where the prompts say them.

        Raises `UsageError`.
        """
        prompt, loras = split_loras(self.prompt)
        settings = self.override_settings
        named = settings.sd_model_checkpoint if settings else None
        text = f"{prompt} {self.negative_prompt}"
        return Ask(
            prompt=prompt,
            options=cast(Options, self.options(max_pixels)),
            model=_without_hash(named) if named else model,
            loras=loras,
            embeddings=[word for word in words if word in text],
        )

    def _style(self) -> str | None:
        if self.styles and len(self.styles) > 1:
            raise UsageError(f"{len(self.styles)} styles were given; expected one", "styles")
        return self.styles[0] if self.styles else None

    def _sampler(self) -> dict[str, Any]:
        options: dict[str, Any] = dict(
            read_sampler(self.sampler_name or self.sampler_index, self.scheduler)
        )
        sampler = SAMPLERS.get(options.get("sampler", ""))
        if self.eta is not None and sampler and sampler.is_stochastic and "eta" in sampler.options:
            options["sampler_options"] = {"eta": self.eta}  # clients send it with all others too
        return options

    def _hires(self) -> dict[str, Any]:
        scale = self.hr_scale or 2.0
        if self.hr_resize_x and self.width:
            scale = self.hr_resize_x / self.width
        return {
            "hires": scale,
            "hires_strength": self.denoising_strength,
            "hires_steps": self.hr_second_pass_steps or None,
        }


class ImageToImage(TextToImage):
    """The body of `img2img`."""

    init_images: Annotated[list[str], Field(min_length=1, max_length=1)]
    """One image, in base64."""
    mask: str | None = None
    """White where the image is repainted, in base64."""
    inpainting_mask_invert: Annotated[int, Field(ge=0, le=1)] | None = None
    resize_mode: Annotated[int, Field(ge=0, le=3)] | None = None
    """0 stretches the image to the size, 1 crops it, 2 puts it on a stretched copy."""
    include_init_images: bool | None = None

    def options(self, max_pixels: int) -> dict[str, Any]:
        """Options of a run; raises `UsageError`."""
        image = open_picture("image", from_base64("image", self.init_images[0]), max_pixels)
        mask = None
        if self.mask:
            mask = open_picture("mask", from_base64("mask", self.mask), max_pixels).convert("L")
            mask = ImageOps.invert(mask) if self.inpainting_mask_invert else mask
            mask = mask if mask.size == image.size else mask.resize(image.size)
        if self.width and self.height and self.width * self.height <= max_pixels:
            size = (self.width, self.height)
            image = _resized(image, size, self.resize_mode or 0)
            mask = _resized(mask, size, self.resize_mode or 0) if mask else None
        pictures = {"image": image, "mask": mask, "strength": self.denoising_strength}
        given = {name: value for name, value in pictures.items() if value is not None}
        return super().options(max_pixels) | given


def _resized(image: Image.Image, size: tuple[int, int], mode: int) -> Image.Image:
    """An image in the size of the run; in mode 1 that is left to the run, which crops it."""
    if image.size == size or mode == 1:
        return image
    stretched = image.resize(size, Image.Resampling.LANCZOS)
    if mode == 2:
        inner = ImageOps.contain(image, size, Image.Resampling.LANCZOS)
        left, top = ((whole - part) // 2 for whole, part in zip(size, inner.size, strict=True))
        stretched.paste(inner, (left, top))
    return stretched


def _without_hash(title: str) -> str:
    """The name of a model from its title, "name [hash]"."""
    return title.partition(" [")[0].strip()


class ErrorAnswer(BaseModel):
    """The body of every answer of 400 and above."""

    error: str
    detail: str
    body: str
    errors: str


class NewOptions(BaseModel):
    """The body of `options`: the whole of what GET gives may come back."""

    model_config = ConfigDict(extra="allow", frozen=True)

    sd_model_checkpoint: str | None = None

    @property
    def model(self) -> str | None:
        """The name of the model to change to, if any is named."""
        return _without_hash(self.sd_model_checkpoint) if self.sd_model_checkpoint else None


class PngInfoRequest(BaseModel):
    """The body of `png-info`."""

    image: str
    """In base64."""
