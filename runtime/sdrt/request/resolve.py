"""What a caller asks for, checked and completed from the model's defaults."""

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sdrt import checks, unheeded
from sdrt.denoiser import Embeddings, Guidance, guidance_width
from sdrt.embeddings import check_lengths, checked_embeddings, checked_pooled, digest
from sdrt.errors import UnsupportedError, UsageError
from sdrt.framing import NEGATIVE, OPTIONS, Framing, read_framing
from sdrt.hires import STRENGTH as HIRES_STRENGTH
from sdrt.hires import Hires, second_pass
from sdrt.init_image import InitImage, read_init_image
from sdrt.manifest import SPACINGS, TINY_DECODER, Manifest
from sdrt.noise import MAX_SEED
from sdrt.options import Options, VaeTiling
from sdrt.part import Part, read_part
from sdrt.recipe import Recipe, check_options
from sdrt.samplers import SAMPLERS
from sdrt.samplers.names import find_sampler
from sdrt.scheduler_config import check_training, read_recipe
from sdrt.spacings import SCHEDULERS
from sdrt.styles import Style, find_style

MAX_IMAGES = 64
MAX_CLIP_SKIP = 64  # where the artifact does not say how deep its text encoder is
SCHEDULER_NAMES = ("default", *SCHEDULERS)
EMBEDDINGS = (
    "prompt_embeds",
    "negative_prompt_embeds",
    "pooled_prompt_embeds",
    "negative_pooled_prompt_embeds",
)
POOLED_EMBEDDINGS = {
    "pooled_prompt_embeds": "prompt_embeds",
    "negative_pooled_prompt_embeds": "negative_prompt_embeds",
}
"""Embeddings of whole prompts, and what they come with."""
DECODERS = {"full": "vae_decoder", "tiny": TINY_DECODER}
STRENGTH = 0.8  # of a picture without a mask; under a mask everything is made anew
IMAGE_GUIDANCE = 1.5  # of models that edit a picture, as their authors do


@dataclass(frozen=True)
class Request:
    """A complete and possible wish: what `resolve` makes of options."""

    prompt: str
    negative_prompt: str
    width: int
    height: int
    num_inference_steps: int
    guidance: Guidance
    is_guided: bool
    """Whether the U-Net ever has to run for the negative prompt too."""
    recipe: Recipe
    seeds: tuple[int, ...]
    clip_skip: int = 1
    style: str | None = None
    """Name of the style whose words are in the prompts already."""
    prompt_embeds: Embeddings | None = field(default=None, compare=False)
    negative_prompt_embeds: Embeddings | None = field(default=None, compare=False)
    """Where they are given, the prompt is empty."""
    pooled_prompt_embeds: Embeddings | None = field(default=None, compare=False)
    negative_pooled_prompt_embeds: Embeddings | None = field(default=None, compare=False)
    framing: Framing | None = None
    """What the U-Net is told of the picture; None for models that are told nothing."""
    negative_framing: Framing | None = None
    init: InitImage | None = None
    """What the run starts from, if not from noise alone."""
    part: Part = Part()
    """What share of the run is made here."""
    vae_tiling: VaeTiling = "auto"
    hires: Hires | None = None
    """The second pass, if there is one."""
    decoder: str = "vae_decoder"
    """The network that makes pictures of latents."""
    previews: str | None = None
    """The network that decodes steps on the way, if any does (`Run.will_decode`)."""
    squeezes_steps: bool = False
    """Whether all steps are made in the share of the way that a picture's strength leaves to go.

    Latent consistency models have few; of others only that share of the steps is made.
    """
    warnings: tuple[str, ...] = ()
    """What was asked for, and cannot be heeded beside the rest."""

    @property
    def share(self) -> float:
        """Of the way from noise to a picture that the steps are spread over."""
        return self.init.strength if self.init and self.squeezes_steps else 1.0

    @property
    def steps_to_run(self) -> int:
        """How many of the steps are made: with a picture to start from, the last ones."""
        return self.part_of(self.num_inference_steps, self.init.strength if self.init else 1.0)

    def part_of(self, steps: int, strength: float) -> int:
        """How many of so many steps are made over a picture."""
        return steps if self.squeezes_steps else min(int(steps * strength), steps)

    @property
    def sides(self) -> int:
        """How many answers of the U-Net a guided step combines; 1 where there is no guidance."""
        return 1 if not self.is_guided else 3 if self.guidance.image_scale > 1 else 2

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the embeddings that stand for a prompt, by their name."""
        given = {name: getattr(self, name) for name in EMBEDDINGS}
        return {name: digest(array) for name, array in given.items() if array is not None}

    @property
    def framings(self) -> dict[str, tuple[int, int] | float]:
        """What the U-Net is told of the picture, as options; beside the negative prompt if else."""
        told = self.framing.options if self.framing else {}
        if self.negative_framing and self.negative_framing != self.framing:
            more = self.negative_framing.options
            told |= {NEGATIVE + name: value for name, value in more.items()}
        return told


def resolve(manifest: Manifest, prompt: str | None, options: Options) -> Request:
    """Complete the options from the model's defaults; raises `UsageError` for what cannot be."""
    unknown = set(options) - set(Options.__annotations__)
    if unknown:
        known = ", ".join(sorted(Options.__annotations__))
        raise UsageError(f"unknown option {min(unknown)!r}; known: {known}")
    defaults, downscale = manifest.defaults, manifest.latent.downscale
    steps = options.get("num_inference_steps", defaults.num_inference_steps)
    guides_itself = guidance_width(manifest.graphs.get("unet")) > 0
    guidance, recipe = _guidance(manifest, options, guides_itself), _recipe(manifest, options)
    seeds = _seeds(options.get("seed"), options.get("num_images_per_prompt", 1))
    style = _style(options)
    texts = (
        _text("prompt", prompt, options),
        _text("negative_prompt", options.get("negative_prompt", ""), options),
    )
    prompt, negative_prompt = style.apply(*texts) if style else texts
    init = _init_image(manifest, options)
    part = read_part(options, len(seeds), manifest.latent.channels)
    own_width, own_height = init.size if init else (defaults.width, defaults.height)
    if part.latents is not None:
        own_height, own_width = (side * downscale for side in part.latents.shape[2:])
    width = checks.size("width", options.get("width", own_width), downscale)
    height = checks.size("height", options.get("height", own_height), downscale)
    framing, negative_framing = _framings(manifest, options, (height, width))
    embeddings = {name: _embeddings(name, manifest, options, len(seeds)) for name in EMBEDDINGS}
    request = Request(
        prompt=prompt,
        negative_prompt=negative_prompt,
        width=width,
        height=height,
        num_inference_steps=checks.whole("steps", steps, 1, manifest.schedule.train_steps),
        guidance=guidance,
        is_guided=guidance.scale > 1 and guidance.start < guidance.end and not guides_itself,
        recipe=recipe,
        seeds=seeds,
        clip_skip=checked_clip_skip(manifest, options.get("clip_skip", 1)),
        style=style.name if style else None,
        prompt_embeds=embeddings["prompt_embeds"],
        negative_prompt_embeds=embeddings["negative_prompt_embeds"],
        pooled_prompt_embeds=embeddings["pooled_prompt_embeds"],
        negative_pooled_prompt_embeds=embeddings["negative_pooled_prompt_embeds"],
        framing=framing,
        negative_framing=negative_framing,
        init=init,
        part=part,
        vae_tiling=_vae_tiling(options.get("vae_tiling", "auto")),
        decoder=decoder_of(manifest, options.get("decoder", "full")),
        squeezes_steps=guides_itself and recipe.is_distilled,
        warnings=unheeded.warnings(manifest.name, options, guidance, guides_itself, recipe),
    )
    if part.latents is not None and (width, height) != (own_width, own_height):
        raise UsageError(
            f"the run is {width}x{height} pixels, and its latents are of {own_width}x{own_height}; "
            "leave the size out"
        )
    if init and request.steps_to_run < 1:
        raise UsageError(
            f"{steps} steps at a strength of {init.strength:g} are no step at all; expected a "
            f"strength of at least {math.ceil(1000 / steps) / 1000:g}, or more steps"
        )
    request = replace(request, hires=_hires(manifest, request, options))
    if request.is_guided:
        chunk = manifest.text_encoders[0].length
        check_lengths(request.prompt_embeds, request.negative_prompt_embeds, chunk)
    return request


def checked_clip_skip(manifest: Manifest, value: object) -> int:
    """The number itself; raises `UsageError` for one that no model of this depth has.

    Raises `UnsupportedError` where the artifact gives the last layer only.
    """
    if manifest.text_layers > 1:
        return checks.whole("clip_skip", value, 1, manifest.text_layers)
    if checks.whole("clip_skip", value, 1, MAX_CLIP_SKIP) > 1:
        raise UnsupportedError(
            f"clip_skip is {value}, and the model {manifest.name!r} gives only the last layer of "
            "its text encoder; leave clip_skip out, or export the model again with this sdrt"
        )
    return 1


def check_prompt_alone(manifest: Manifest, what: str) -> None:
    """Raise `UnsupportedError` for a model that takes a picture too; `what` says who has none."""
    if manifest.conditions:
        raise UnsupportedError(f"{manifest.name!r} takes a picture beside the prompt, and {what}")


def _init_image(manifest: Manifest, options: Options) -> InitImage | None:
    """What to start from; raises `UsageError` for what has no image, or does not fit the model."""
    image, mask = options.get("image"), options.get("mask")
    if image is None:
        for name in ("mask", "strength", "paste"):
            if options.get(name) is not None:
                raise UsageError(f"{name} was given without an image to start from; give both")
        _check_conditions(manifest, has_image=False, has_mask=False)
        return None
    if "vae_encoder" not in manifest.graphs:
        raise UnsupportedError(
            f"the model {manifest.name!r} has no vae_encoder, which brings an image to latents; "
            "export it again with this sdrt"
        )
    _check_conditions(manifest, has_image=True, has_mask=mask is not None)
    if manifest.edits:
        _check_edit(manifest, options)
    elif mask is None and options.get("paste") is not None:
        raise UsageError("paste was given without a mask; give both")
    own_strength = STRENGTH if mask is None and not manifest.edits else 1.0
    strength = options.get("strength", own_strength)
    size, downscale = (options.get("width"), options.get("height")), manifest.latent.downscale
    for name, side in zip(("width", "height"), size, strict=True):
        if side is not None:
            checks.size(name, side, downscale)
    pastes = checks.flag("paste", options.get("paste", True))
    strength = checks.number("strength", strength, 1)
    return read_init_image(image, mask, strength, size, downscale, pastes)


def _hires(manifest: Manifest, request: Request, options: Options) -> Hires | None:
    """The second pass; raises `UsageError` for one that cannot be, or has nothing to do."""
    if options.get("hires") is None:
        for name in ("hires_strength", "hires_steps"):
            if options.get(name) is not None:
                raise UsageError(f"{name} was given without hires; give both")
        return None
    if request.init and request.init.mask is not None:
        raise UsageError("both hires and a mask were given; give one of them")
    if manifest.edits:
        raise UsageError(
            f"hires was given, and {manifest.name!r} changes the picture that it is given; to have "
            "a larger one, give a larger size"
        )
    if "vae_encoder" not in manifest.graphs:
        raise UnsupportedError(
            f"the model {manifest.name!r} has no vae_encoder, which hires needs; export it again "
            "with this sdrt"
        )
    hires = second_pass(
        options["hires"],
        options.get("hires_strength", HIRES_STRENGTH),
        options.get("hires_steps", request.num_inference_steps),
        (request.width, request.height),
        manifest.latent.downscale,
        manifest.schedule.train_steps,
    )
    if request.part_of(hires.num_inference_steps, hires.strength) < 1:
        raise UsageError(
            f"{hires.num_inference_steps} hires steps at a hires strength of {hires.strength:g} "
            "are no step at all; raise one of them"
        )
    return hires


def _vae_tiling(value: object) -> VaeTiling:
    if value is True or value is False or value == "auto":
        return value
    raise UsageError(f"vae_tiling is {value!r}; expected True, False or 'auto'")


def decoder_of(manifest: Manifest, value: str) -> str:
    """The network that "full" or "tiny" stands for; raises `UnsupportedError` if there is none."""
    name = DECODERS[checks.known("decoder", value, DECODERS)]
    if name == TINY_DECODER and name not in manifest.graphs:
        raise UnsupportedError(
            f"the model {manifest.name!r} has no tiny decoder; export it again with --tiny-vae"
        )
    return name


def _check_edit(manifest: Manifest, options: Options) -> None:
    """Whether nothing was asked for that a model cannot do that edits pictures."""
    reasons = {
        "mask": "changes the whole picture; for a part of it take an inpainting model",
        "strength": "begins with noise in any case; how near it stays to the picture, "
        "image_guidance_scale says",
        "paste": "has no mask, whose surroundings could be pasted",
    }
    for name, reason in reasons.items():
        if options.get(name) is not None:
            raise UsageError(
                f"{name} was given, and {manifest.name!r}, which edits pictures, {reason}"
            )


def _check_conditions(manifest: Manifest, has_image: bool, has_mask: bool) -> None:
    """Whether the U-Net's inputs are those of a model that this request can be made with."""
    if manifest.conditions and not (manifest.edits or manifest.takes_mask):
        channels = manifest.latent.channels
        raise UnsupportedError(
            f"the U-Net of {manifest.name!r} takes {manifest.conditions} channels beside the "
            f"latents' {channels}; expected none, {channels} of a model that edits pictures, or "
            f"{channels + 1} of an inpainting model"
        )
    if manifest.edits and not has_image:
        raise UsageError(
            f"{manifest.name!r} edits pictures; give an image to change as the prompt says"
        )
    if manifest.takes_mask and not has_mask:
        raise UsageError(
            f"{manifest.name!r} is an inpainting model; give an image, and a mask of what to make "
            "anew"
        )


def _recipe(manifest: Manifest, options: Options) -> Recipe:
    """The model's own way to sample, or a given scheduler's, and what was asked for besides."""
    if "scheduler_config" in options:
        base = read_recipe(options["scheduler_config"])
        check_training(options["scheduler_config"], manifest.schedule, manifest.prediction)
    else:
        defaults, schedule = manifest.defaults, manifest.schedule
        base = Recipe(
            defaults.sampler,
            defaults.scheduler,
            schedule.spacing,
            schedule.offset,
            dict(defaults.sampler_options),
        )
    asked = options.get("sampler", base.sampler)
    sampler, named = find_sampler(str(asked)) or (checks.known("sampler", asked, SAMPLERS), None)
    own_scheduler = base.scheduler if sampler == base.sampler else "default"
    scheduler = options.get("scheduler", named or own_scheduler)
    checks.known("scheduler", scheduler, SCHEDULER_NAMES)
    if named not in (None, scheduler):
        raise UsageError(
            f"sampler {asked!r} names the scheduler {named!r}, and scheduler is {scheduler!r}; "
            "give one of them"
        )
    own = base.options if sampler == base.sampler else {}
    given = options.get("sampler_options", {})
    if not isinstance(given, Mapping):
        raise UsageError(f"sampler_options is {given!r}; expected names with values")
    return Recipe(
        sampler,
        scheduler,
        checks.known("spacing", options.get("spacing", base.spacing), SPACINGS),  # type: ignore[arg-type]
        base.offset,
        check_options(sampler, {**own, **given}),
    )


def _text(name: str, value: object, options: Mapping[str, object]) -> str:
    """A prompt; empty where embeddings stand for it."""
    embeds = options.get(f"{name}_embeds")
    if value is None and embeds is not None:
        return ""
    if not isinstance(value, str):
        raise UsageError(f"{name} is {value!r}; expected a text, or {name}_embeds")
    if value and embeds is not None:
        raise UsageError(f"both {name} and {name}_embeds were given; give one of them")
    return value


def _style(options: Options) -> Style | None:
    given = options.get("style")
    if given is None or isinstance(given, Style):
        style = given
    elif isinstance(given, str):
        style = find_style(given)
    else:
        raise UsageError(f"style is {given!r}; expected a name, see: sdrt styles")
    for name in ("prompt_embeds", "negative_prompt_embeds"):
        if style and options.get(name) is not None:
            raise UsageError(
                f"style {style.name!r} puts words around a prompt, and {name} was given in its "
                "place; give one of them"
            )
    return style


def _embeddings(
    name: str, manifest: Manifest, options: Mapping[str, object], images: int
) -> Embeddings | None:
    given = options.get(name)
    if name not in POOLED_EMBEDDINGS:
        width = manifest.text_width
        return None if given is None else checked_embeddings(name, given, width, images)
    partner, pooled = POOLED_EMBEDDINGS[name], manifest.pooled_width
    if given is None and (pooled is None or options.get(partner) is None):
        return None
    if pooled is None:
        raise UsageError(f"{name} is for models of Stable Diffusion XL, not for {manifest.name!r}")
    if given is None or options.get(partner) is None:
        found, missing = (name, partner) if options.get(partner) is None else (partner, name)
        raise UsageError(f"{found} was given without {missing}; {manifest.name!r} takes both")
    return checked_pooled(name, given, pooled, images)


def _framings(
    manifest: Manifest, options: Options, size: tuple[int, int]
) -> tuple[Framing | None, Framing | None]:
    """What the U-Net is told of the picture beside the prompt, and beside the negative one."""
    if manifest.picture_numbers:
        framing = read_framing(options, "", Framing.of(manifest.picture_numbers, size))
        return framing, read_framing(options, NEGATIVE, framing.negative)
    for name in OPTIONS:
        if options.get(name) is not None or options.get(NEGATIVE + name) is not None:
            raise UsageError(
                f"{name} is for models of Stable Diffusion XL, not for {manifest.name!r}"
            )
    return None, None


def _guidance(manifest: Manifest, options: Options, guides_itself: bool) -> Guidance:
    """Raises `UsageError`, also for less than none where the U-Net was trained on the strength."""
    scale = options.get("guidance_scale", manifest.defaults.guidance_scale)
    whose = f" of {manifest.name!r}, whose U-Net is told it," if guides_itself else ""
    guidance = Guidance(
        scale=checks.number(f"guidance scale{whose}", scale, math.inf, low=int(guides_itself)),
        image_scale=_image_guidance(manifest, options),
        rescale=checks.number("guidance rescale", options.get("guidance_rescale", 0.0), 1),
        start=checks.number("guidance start", options.get("guidance_start", 0.0), 1),
        end=checks.number("guidance end", options.get("guidance_end", 1.0), 1),
        is_split=checks.flag("guidance_split", options.get("guidance_split", False)),
    )
    if guidance.start > guidance.end:
        raise UsageError(
            f"guidance starts at {guidance.start} and ends at {guidance.end}; expected the start "
            "before the end"
        )
    if guides_itself:
        unheeded.check_guides_itself(manifest.name, guidance)
    return guidance


def _image_guidance(manifest: Manifest, options: Options) -> float:
    value = options.get("image_guidance_scale")
    if manifest.edits:
        scale = IMAGE_GUIDANCE if value is None else value
        return checks.number("image_guidance_scale", scale, math.inf, low=1)
    if value is not None:
        raise UsageError(
            "image_guidance_scale is for models that edit pictures (InstructPix2Pix), not for "
            f"{manifest.name!r}"
        )
    return 1.0


def _seeds(seed: int | Sequence[int] | None, images: int) -> tuple[int, ...]:
    count = checks.whole("number of images", images, 1, MAX_IMAGES)
    if seed is None:
        seed = secrets.randbelow(2**32)
    if isinstance(seed, int):
        first = checks.whole("seed", seed, 0, MAX_SEED - count + 1)
        return tuple(range(first, first + count))
    if len(seed) != count:
        raise UsageError(f"{len(seed)} seeds were given for {count} images; give one for each")
    return tuple(checks.whole("seed", one, 0, MAX_SEED) for one in seed)
