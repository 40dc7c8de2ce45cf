"""What a caller asks for, checked and completed from the model's defaults."""

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sdrt import validation
from sdrt.arrays import Embeddings
from sdrt.errors import UnsupportedError, UsageError
from sdrt.manifest import SPACINGS, TINY_DECODER, Manifest, guidance_width
from sdrt.request import ignored_options
from sdrt.request.denoising_range import read_denoising_range
from sdrt.request.hires import STRENGTH as HIRES_STRENGTH
from sdrt.request.hires import Hires, second_pass
from sdrt.request.init_image import InitImage, read_init_image
from sdrt.request.options import Options, VaeTiling
from sdrt.request.request import DECODERS, EMBEDDINGS, POOLED_EMBEDDINGS, Request
from sdrt.request.size_conditioning import (
    NEGATIVE,
    OPTIONS,
    SizeConditioning,
    read_size_conditioning,
)
from sdrt.sampling.guidance import Guidance
from sdrt.sampling.noise import MAX_SEED
from sdrt.sampling.sampler_settings import SamplerSettings, check_options
from sdrt.sampling.samplers.aliases import find_sampler
from sdrt.sampling.samplers.registry import SAMPLERS
from sdrt.sampling.scheduler_config import check_training, read_sampler_settings
from sdrt.sampling.sigma_schedules import SIGMA_SCHEDULES
from sdrt.text.conditioning import checked_clip_skip
from sdrt.text.prompt_embeddings import check_lengths, checked_embeddings, checked_pooled
from sdrt.text.styles import Style, find_style

MAX_IMAGES = 64
SCHEDULER_NAMES = ("default", *SIGMA_SCHEDULES)
STRENGTH = 0.8  # of a picture without a mask; under a mask everything is made anew
IMAGE_GUIDANCE = 1.5  # of models that edit a picture, as their authors do


def resolve(manifest: Manifest, prompt: str | None, options: Options) -> Request:
    """Complete the options from the model's defaults; raises `UsageError` for what cannot be."""
    unknown = set(options) - set(Options.__annotations__)
    if unknown:
        known = ", ".join(sorted(Options.__annotations__))
        raise UsageError(f"unknown option {min(unknown)!r}; known: {known}")
    defaults, downscale = manifest.defaults, manifest.latent.downscale
    steps = options.get("num_inference_steps", defaults.num_inference_steps)
    guides_itself = guidance_width(manifest.graphs.get("unet")) > 0
    guidance, sampler_settings = (
        _guidance(manifest, options, guides_itself),
        _recipe(manifest, options),
    )
    seeds = _seeds(options.get("seed"), options.get("num_images_per_prompt", 1))
    style = _style(options)
    texts = (
        _text("prompt", prompt, options),
        _text("negative_prompt", options.get("negative_prompt", ""), options),
    )
    prompt, negative_prompt = style.apply(*texts) if style else texts
    init = _init_image(manifest, options)
    denoising_range = read_denoising_range(options, len(seeds), manifest.latent.channels)
    own_width, own_height = init.size if init else (defaults.width, defaults.height)
    if denoising_range.latents is not None:
        own_height, own_width = (side * downscale for side in denoising_range.latents.shape[2:])
    width = validation.size("width", options.get("width", own_width), downscale)
    height = validation.size("height", options.get("height", own_height), downscale)
    size_conditioning, negative_size_conditioning = _framings(manifest, options, (height, width))
    embeddings = {name: _embeddings(name, manifest, options, len(seeds)) for name in EMBEDDINGS}
    request = Request(
        prompt=prompt,
        negative_prompt=negative_prompt,
        width=width,
        height=height,
        num_inference_steps=validation.whole("steps", steps, 1, manifest.schedule.train_steps),
        guidance=guidance,
        is_guided=guidance.scale > 1 and guidance.start < guidance.end and not guides_itself,
        sampler_settings=sampler_settings,
        seeds=seeds,
        clip_skip=checked_clip_skip(manifest, options.get("clip_skip", 1)),
        style=style.name if style else None,
        prompt_embeds=embeddings["prompt_embeds"],
        negative_prompt_embeds=embeddings["negative_prompt_embeds"],
        pooled_prompt_embeds=embeddings["pooled_prompt_embeds"],
        negative_pooled_prompt_embeds=embeddings["negative_pooled_prompt_embeds"],
        size_conditioning=size_conditioning,
        negative_size_conditioning=negative_size_conditioning,
        init=init,
        denoising_range=denoising_range,
        vae_tiling=_vae_tiling(options.get("vae_tiling", "auto")),
        decoder=decoder_of(manifest, options.get("decoder", "full")),
        squeezes_steps=guides_itself and sampler_settings.is_distilled,
        warnings=ignored_options.warnings(
            manifest.name, options, guidance, guides_itself, sampler_settings
        ),
    )
    if denoising_range.latents is not None and (width, height) != (own_width, own_height):
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
            validation.size(name, side, downscale)
    pastes = validation.flag("paste", options.get("paste", True))
    strength = validation.number("strength", strength, 1)
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
    name = DECODERS[validation.known("decoder", value, DECODERS)]
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


def _recipe(manifest: Manifest, options: Options) -> SamplerSettings:
    """The model's own way to sample, or a given scheduler's, and what was asked for besides."""
    if "scheduler_config" in options:
        base = read_sampler_settings(options["scheduler_config"])
        check_training(options["scheduler_config"], manifest.schedule, manifest.prediction)
    else:
        defaults, schedule = manifest.defaults, manifest.schedule
        base = SamplerSettings(
            defaults.sampler,
            defaults.scheduler,
            schedule.spacing,
            schedule.offset,
            dict(defaults.sampler_options),
        )
    asked = options.get("sampler", base.sampler)
    sampler, named = find_sampler(str(asked)) or (
        validation.known("sampler", asked, SAMPLERS),
        None,
    )
    own_scheduler = base.scheduler if sampler == base.sampler else "default"
    scheduler = options.get("scheduler", named or own_scheduler)
    validation.known("scheduler", scheduler, SCHEDULER_NAMES)
    if named not in (None, scheduler):
        raise UsageError(
            f"sampler {asked!r} names the scheduler {named!r}, and scheduler is {scheduler!r}; "
            "give one of them"
        )
    own = base.options if sampler == base.sampler else {}
    given = options.get("sampler_options", {})
    if not isinstance(given, Mapping):
        raise UsageError(f"sampler_options is {given!r}; expected names with values")
    return SamplerSettings(
        sampler,
        scheduler,
        validation.known("spacing", options.get("spacing", base.spacing), SPACINGS),  # type: ignore[arg-type]
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
) -> tuple[SizeConditioning | None, SizeConditioning | None]:
    """What the U-Net is told of the picture beside the prompt, and beside the negative one."""
    if manifest.picture_numbers:
        size_conditioning = read_size_conditioning(
            options, "", SizeConditioning.of(manifest.picture_numbers, size)
        )
        return size_conditioning, read_size_conditioning(
            options, NEGATIVE, size_conditioning.negative
        )
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
        scale=validation.number(f"guidance scale{whose}", scale, math.inf, low=int(guides_itself)),
        image_scale=_image_guidance(manifest, options),
        rescale=validation.number("guidance rescale", options.get("guidance_rescale", 0.0), 1),
        start=validation.number("guidance start", options.get("guidance_start", 0.0), 1),
        end=validation.number("guidance end", options.get("guidance_end", 1.0), 1),
        is_split=validation.flag("guidance_split", options.get("guidance_split", False)),
    )
    if guidance.start > guidance.end:
        raise UsageError(
            f"guidance starts at {guidance.start} and ends at {guidance.end}; expected the start "
            "before the end"
        )
    if guides_itself:
        ignored_options.check_guides_itself(manifest.name, guidance)
    return guidance


def _image_guidance(manifest: Manifest, options: Options) -> float:
    value = options.get("image_guidance_scale")
    if manifest.edits:
        scale = IMAGE_GUIDANCE if value is None else value
        return validation.number("image_guidance_scale", scale, math.inf, low=1)
    if value is not None:
        raise UsageError(
            "image_guidance_scale is for models that edit pictures (InstructPix2Pix), not for "
            f"{manifest.name!r}"
        )
    return 1.0


def _seeds(seed: int | Sequence[int] | None, images: int) -> tuple[int, ...]:
    count = validation.whole("number of images", images, 1, MAX_IMAGES)
    if seed is None:
        seed = secrets.randbelow(2**32)
    if isinstance(seed, int):
        first = validation.whole("seed", seed, 0, MAX_SEED - count + 1)
        return tuple(range(first, first + count))
    if len(seed) != count:
        raise UsageError(f"{len(seed)} seeds were given for {count} images; give one for each")
    return tuple(validation.whole("seed", one, 0, MAX_SEED) for one in seed)
