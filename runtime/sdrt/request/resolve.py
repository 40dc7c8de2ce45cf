"""Options in, a complete request out: every option checked, every gap filled by the model."""

import secrets
from dataclasses import replace

from sdrt import validation
from sdrt.errors import UnsupportedError, UsageError
from sdrt.files.tuned_speed import NOT_TUNED, TunedSpeed
from sdrt.manifest import TINY_DECODER, Manifest, guidance_width
from sdrt.request import ignored_options
from sdrt.request.controls import read_controls
from sdrt.request.denoising_range import DenoisingRange, read_denoising_range
from sdrt.request.depth_map import DepthMap, read_depth_map
from sdrt.request.feature_reuse import read_feature_reuse
from sdrt.request.guidance_options import read_guidance
from sdrt.request.hires import read_hires
from sdrt.request.init_image import InitImage, check_strength, read_init_image, run_size
from sdrt.request.options import Options, VaeTiling
from sdrt.request.prompts import read_embeddings, read_prompts
from sdrt.request.request import DECODERS, Request
from sdrt.request.sampler_options import read_sampler_options
from sdrt.request.size_conditioning import read_size_conditioning
from sdrt.request.speed import with_speed
from sdrt.sampling.noise import MAX_SEED
from sdrt.text.conditioning import checked_clip_skip
from sdrt.text.prompt_embeddings import check_lengths

MAX_IMAGES = 64

Size = tuple[int, int]  # width and height in pixels


def resolve(
    manifest: Manifest, prompt: str | None, options: Options, tuned: TunedSpeed = NOT_TUNED
) -> Request:
    """Complete options from the model's defaults.

    `tuned` are the presets of speed that were found for the model.

    Raises `UsageError` for options that are unknown, wrong or in conflict with each other, and
    `UnsupportedError` for what the model cannot do.
    """
    _check_names(options)
    preset, completed = with_speed(manifest, options, tuned)
    request = _resolve(manifest, prompt, completed)
    warnings = [preset.warning] if preset.warning else []
    return replace(request, speed=preset.name, warnings=(*warnings, *request.warnings))


def _resolve(manifest: Manifest, prompt: str | None, options: Options) -> Request:
    """The same for options that have what a preset of speed adds."""
    guides_itself = guidance_width(manifest.graphs.get("unet")) > 0
    guidance = read_guidance(manifest, options, guides_itself)
    sampler_settings = read_sampler_options(manifest, options)
    seeds = _read_seeds(options)
    texts = read_prompts(prompt, options)
    init = read_init_image(manifest, options)
    denoising_range = read_denoising_range(options, len(seeds), manifest.latent.channels)
    depth = read_depth_map(manifest, options, init)
    start_size = _start_size(manifest, options, init or depth, denoising_range)
    size = _read_size(manifest, options, start_size)
    conditioning = read_size_conditioning(manifest, options, size)
    embeddings = read_embeddings(manifest, options, len(seeds))
    steps = _read_steps(manifest, options)
    clip_skip = checked_clip_skip(manifest, options.get("clip_skip", 1))
    vae_tiling = _read_vae_tiling(options)
    decoder = decoder_of(manifest, options.get("decoder", "full"))
    squeezes_steps = guides_itself and sampler_settings.is_distilled
    _check_latents_size(denoising_range, size, start_size)
    check_strength(init, steps, squeezes_steps)
    request = Request(
        **texts,
        **embeddings,
        **conditioning,
        **read_controls(manifest, options),
        width=size[0],
        height=size[1],
        num_inference_steps=steps,
        guidance=guidance,
        is_guided=guidance.scale > 1 and guidance.start < guidance.end and not guides_itself,
        sampler_settings=sampler_settings,
        seeds=seeds,
        feature_reuse=read_feature_reuse(options, steps),
        clip_skip=clip_skip,
        init=init,
        depth=depth,
        denoising_range=denoising_range,
        vae_tiling=vae_tiling,
        hires=read_hires(manifest, options, init, size, steps, squeezes_steps),
        decoder=decoder,
        squeezes_steps=squeezes_steps,
        warnings=ignored_options.warnings(
            manifest.name, options, guidance, guides_itself, sampler_settings
        ),
    )
    _check_lengths(manifest, request)
    if depth:
        depth.latents(*(side // manifest.latent.downscale for side in reversed(size)))
    return request


def _check_names(options: Options) -> None:
    unknown = set(options) - set(Options.__annotations__)
    if unknown:
        known = ", ".join(sorted(Options.__annotations__))
        raise UsageError(f"unknown option {min(unknown)!r}; known: {known}")


def _read_seeds(options: Options) -> tuple[int, ...]:
    """One seed for each image."""
    seed, images = options.get("seed"), options.get("num_images_per_prompt", 1)
    count = validation.whole("number of images", images, 1, MAX_IMAGES)
    if seed is None:
        seed = secrets.randbelow(2**32)
    if isinstance(seed, int):
        first = validation.whole("seed", seed, 0, MAX_SEED - count + 1)
        return tuple(range(first, first + count))
    if len(seed) != count:
        raise UsageError(f"{len(seed)} seeds were given for {count} images; give one for each")
    return tuple(validation.whole("seed", number, 0, MAX_SEED) for number in seed)


def _start_size(
    manifest: Manifest,
    options: Options,
    start: InitImage | DepthMap | None,
    denoising_range: DenoisingRange,
) -> Size:
    """The size of what the run starts from: latents, an image, or noise.

    Noise has the size of the depth map, if there is one, or the model's default size.
    """
    if denoising_range.latents is not None:
        height, width = denoising_range.latents.shape[2:]
        return width * manifest.latent.downscale, height * manifest.latent.downscale
    if isinstance(start, DepthMap):
        given = options.get("width"), options.get("height")
        return run_size("depth map", start.size, given, manifest.latent.downscale)
    return start.size if start else (manifest.defaults.width, manifest.defaults.height)


def _read_size(manifest: Manifest, options: Options, default: Size) -> Size:
    downscale = manifest.latent.downscale
    width = validation.size("width", options.get("width", default[0]), downscale)
    height = validation.size("height", options.get("height", default[1]), downscale)
    return width, height


def _read_steps(manifest: Manifest, options: Options) -> int:
    steps = options.get("num_inference_steps", manifest.defaults.num_inference_steps)
    return validation.whole("steps", steps, 1, manifest.schedule.train_steps)


def _read_vae_tiling(options: Options) -> VaeTiling:
    value = options.get("vae_tiling", "auto")
    if value is True or value is False or value == "auto":
        return value
    raise UsageError(f"vae_tiling is {value!r}; expected True, False or 'auto'")


def _check_latents_size(denoising_range: DenoisingRange, size: Size, start_size: Size) -> None:
    if denoising_range.latents is not None and size != start_size:
        raise UsageError(
            f"the run is {size[0]}x{size[1]} pixels, and its latents are of "
            f"{start_size[0]}x{start_size[1]}; leave the size out"
        )


def _check_lengths(manifest: Manifest, request: Request) -> None:
    """Check that guidance can batch the embeddings of both prompts."""
    if request.is_guided:
        chunk = manifest.text_encoders[0].length
        check_lengths(request.prompt_embeds, request.negative_prompt_embeds, chunk)


def decoder_of(manifest: Manifest, value: str) -> str:
    """The network that "full" or "tiny" names; raises `UnsupportedError` if there is none."""
    name = DECODERS[validation.known("decoder", value, DECODERS)]
    if name == TINY_DECODER and name not in manifest.graphs:
        raise UnsupportedError(
            f"the model {manifest.name!r} has no tiny decoder; export it again with --tiny-vae"
        )
    return name


def check_prompt_alone(manifest: Manifest, what: str) -> None:
    """Raise `UnsupportedError` for a model that takes an image or a depth map; `what` says why."""
    if manifest.conditions:
        taken = "a depth map" if manifest.takes_depth else "a picture"
        raise UnsupportedError(f"{manifest.name!r} takes {taken} besides the prompt, and {what}")
