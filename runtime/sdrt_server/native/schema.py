"""The bodies of the native API."""

from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from sdrt.request.options import Options, Speed
from sdrt.sampling.noise import MAX_SEED
from sdrt_server.http.pictures import from_base64, open_picture
from sdrt_server.jobs.job import PreviewKind, Stage, State
from sdrt_server.service import Ask

Pair = tuple[int, int]
Seed = Annotated[int, Field(ge=-1, le=MAX_SEED)]
OTHER = frozenset({"model", "prompt", "loras", "embeddings", "refiner", "refiner_start", "preview"})
"""Fields that are not options of a run."""
PICTURES = ("image", "mask", "depth")


class Body(BaseModel):
    """What all bodies that come in have in common."""

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, frozen=True
    )


class LoraUse(Body):
    """A LoRA of the server's folder, and how strongly it is added."""

    name: str
    """One of the names in `/v1/capabilities`."""
    weight: float = 1.0


class JobRequest(Body):
    """Everything that `sdrt generate` takes. What is left out, or null, comes from the model."""

    prompt: str
    """What the picture shows."""
    negative_prompt: str | None = None
    """What it should not show."""
    model: str | None = None
    """The name of a model; by default the server's first."""
    style: str | None = None
    """The name of a style, whose words are put around both prompts."""
    width: int | None = None
    """Pixels, a multiple of 8; the default is the model's, or the image's."""
    height: int | None = None
    """Pixels, a multiple of 8; the default is the model's, or the image's."""
    seed: Seed | list[Seed] | None = None
    """The seed of the first picture, or one for each; drawn if it is left out or -1."""
    num_images_per_prompt: Annotated[int, Field(ge=1)] = 1
    """How many pictures."""
    speed: Speed | None = None
    """A preset of sampler and steps."""
    num_inference_steps: Annotated[int, Field(ge=1)] | None = None
    """Number of denoising steps."""
    guidance_scale: Annotated[float, Field(ge=0)] | None = None
    """Strength of classifier-free guidance."""
    image_guidance_scale: float | None = None
    """How near models that edit images stay to the image."""
    guidance_rescale: float | None = None
    """How much of the contrast that strong guidance adds is taken back, 0 to 1."""
    guidance_start: float | None = None
    """The share of the steps after which guidance starts."""
    guidance_end: float | None = None
    """The share of the steps after which guidance ends."""
    guidance_split: bool | None = None
    """Whether the branches of a guided step run in turn: as long, with less memory."""
    cache_interval: Annotated[int, Field(ge=1)] | None = None
    """The whole U-Net is computed in every such step, its last layers in the others."""
    cache_depth: Annotated[int, Field(ge=0)] | None = None
    """How many more blocks those compute."""
    sampler: str | None = None
    """The sampling method, also by the names of diffusers and AUTOMATIC1111."""
    sampler_options: dict[str, float | int | bool | str] | None = None
    """Options of the sampler, such as {"eta": 0.5}."""
    scheduler: str | None = None
    """The spacing of noise levels, such as "karras"."""
    spacing: Literal["leading", "trailing", "linspace"] | None = None
    """The spacing of timesteps."""
    scheduler_config: dict[str, Any] | None = None
    """The contents of a diffusers `scheduler_config.json`."""
    image: str | None = None
    """The image to start from, or to edit: base64, perhaps as a data URL."""
    strength: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the steps that change the image."""
    mask: str | None = None
    """White where the image is repainted, black where it stays, of the image's size."""
    depth: str | None = None
    """What depth models paint over: a grey PNG of 8 or 16 bits in base64, of the image's size."""
    paste: bool | None = None
    """Whether pixels outside of the mask are the image's own, the default."""
    vae_tiling: bool | Literal["auto"] | None = None
    """Whether pictures are decoded in tiles."""
    decoder: Literal["full", "tiny"] | None = None
    """The decoder; the tiny one is fast and rough."""
    hires: Annotated[float, Field(gt=0)] | None = None
    """The factor by which a second pass enlarges the picture."""
    hires_strength: float | None = None
    """Share of the second pass's steps that change the picture."""
    hires_steps: Annotated[int, Field(ge=1)] | None = None
    """Steps of the second pass."""
    clip_skip: Annotated[int, Field(ge=1)] | None = None
    """Layer of the text encoder, from its end: 1 is the last."""
    original_size: Pair | None = None
    """SDXL: height and width before cropping."""
    crops_coords_top_left: Pair | None = None
    """SDXL: top and left of the crop."""
    target_size: Pair | None = None
    """SDXL: height and width after cropping."""
    aesthetic_score: float | None = None
    """SDXL's refiner: how much people like the picture, 0 to 10."""
    refiner: str | None = None
    """The name of the model that makes the last steps."""
    refiner_start: float | None = None
    """Share of the run after which the refiner takes over."""
    loras: list[LoraUse] = []
    """LoRAs to add to the model."""
    embeddings: list[str] = []
    """Names of textual inversions to add to the vocabulary."""
    preview: PreviewKind | None = None
    """How the steps are shown: by a linear map, by the tiny decoder, or not at all."""

    def to_ask(self, max_pixels: int) -> Ask:
        """What the service is asked for, with pictures opened; raises `UsageError`."""
        given = {name: getattr(self, name) for name in self.model_fields_set - OTHER}
        options = {name: value for name, value in given.items() if value is not None}
        if options.get("seed") == -1:
            del options["seed"]
        for name in PICTURES:
            if name in options:
                contents = from_base64(name, options[name])
                options[name] = open_picture(name, contents, max_pixels)
        return Ask(
            prompt=self.prompt,
            options=cast(Options, options),
            model=self.model,
            loras=[(lora.name, lora.weight) for lora in self.loras],
            embeddings=self.embeddings,
            refiner=self.refiner,
            refiner_start=self.refiner_start,
            preview=self.preview,
        )


class ErrorBody(BaseModel):
    """What is wrong, in a sentence for people."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None
    request_id: str | None = None


class ErrorAnswer(BaseModel):
    """The body of every answer of 400 and above."""

    error: ErrorBody


class PictureAnswer(BaseModel):
    """A finished picture."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    url: str
    """Relative to the server; also with .jpg or .webp at its end. It needs no key."""
    seed: int | None
    width: int
    height: int
    parameters: dict[str, Any] | None
    """All that made it, as in its PNG; left out in lists of jobs."""


class JobAnswer(BaseModel):
    """A job as it is now."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    state: State
    stage: Stage
    model: str
    prompt: str
    created: float
    """Seconds since 1970."""
    ahead: int | None
    """How many jobs come before it; null unless it waits."""
    width: int
    """Pixels of each picture that it makes."""
    height: int
    step: int
    """How many steps are done."""
    steps: int
    elapsed: float | None
    """Seconds since it began to run."""
    seconds_left: float | None
    """An estimate."""
    warnings: list[str]
    images: list[PictureAnswer]
    timings: dict[str, Any] | None
    error: ErrorBody | None


class JobList(BaseModel):
    """All jobs that are known."""

    jobs: list[JobAnswer]


class PictureFacts(BaseModel):
    """What made a picture."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    options: dict[str, Any]
    """Fields for `POST /v1/jobs` that give the picture again."""
    record: dict[str, Any] | None
    """sdrt's own record."""
    text: str | None
    """AUTOMATIC1111's text."""
    width: int
    height: int
