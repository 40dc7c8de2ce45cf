"""The options of `sdrt generate`, in groups, and what they are in the Python interface."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from sdrt.cli.adapter_options import AdapterOptions, ControlOptions
from sdrt.cli.option_types import FILE, EngineOptions, Point, Size, option, values
from sdrt.errors import UsageError

if TYPE_CHECKING:
    from sdrt.request.options import Options
    from sdrt.text.styles import Style

Pair = tuple[int, int]


@dataclass(frozen=True)
class FileOptions:
    """Which files are written after a run."""

    output: Path | None = option("-o", "--output", type=FILE, help="Default: sdrt-SEED.png.")
    grid: Path | None = option(
        "--grid", type=FILE, metavar="FILE", help="Also write all pictures on one sheet."
    )
    trajectory: Path | None = option(
        "--trajectory", type=FILE, metavar="FILE", help="Also write the steps on one sheet."
    )


@dataclass(frozen=True)
class PreviewOptions:
    """Which files are written during a run."""

    preview: str | None = option(
        "--preview",
        type=click.Choice(["proj", "tae", "vae"]),
        help="Write each step: as a rough projection that takes no time, by the tiny decoder, or "
        "fully decoded.",
    )
    preview_path: Path | None = option(
        "--preview-path", type=FILE, metavar="FILE", help="Default: preview.png; %d is the step."
    )
    preview_interval: int | None = option(
        "--preview-interval", type=click.IntRange(1), metavar="N", help="Preview every N-th step."
    )


@dataclass(frozen=True)
class ImageOptions:
    """The image that a run starts from."""

    image: Path | None = option(
        "-i", "--image", "--init-img", type=FILE, help="Image to start from, or to edit."
    )
    strength: float | None = option(
        "--strength", type=float, help="Share of the steps that change it; default: 0.8."
    )
    mask: Path | None = option(
        "--mask", type=FILE, help="White where to repaint it, black where to keep it."
    )
    depth: Path | None = option(
        "--depth",
        type=FILE,
        metavar="MAP",
        help="Depth models: grey PNG of 8 or 16 bits, or .npy; the larger, the nearer.",
    )
    paste: bool | None = option(
        "--paste/--no-paste",
        default=None,
        help="Copy what the mask keeps from the image (default), or take it from the decoder.",
    )


@dataclass(frozen=True)
class HiresOptions:
    """The second pass."""

    hires: str | None = option(
        "--hires", metavar="2x", help="Enlarge the picture and repaint it in a second pass."
    )
    hires_strength: float | None = option(
        "--hires-strength", type=float, help="Share of its steps that run; default: 0.5."
    )
    hires_steps: int | None = option(
        "--hires-steps", type=int, help="Steps of the second pass; default: as --steps."
    )


@dataclass(frozen=True)
class VaeOptions:
    """How images become latents, and latents pictures."""

    vae_tiling: bool | None = option(
        "--vae-tiling/--no-vae-tiling",
        default=None,
        help="Decode and encode in tiles of 768x768 pixels; default: if the whole would not fit.",
    )
    decoder: str | None = option(
        "--decoder", type=click.Choice(["full", "tiny"]), help="tiny: rough and fast."
    )


@dataclass(frozen=True)
class RefinerOptions:
    """The model that makes the last steps."""

    refiner: str | None = option(
        "--refiner", metavar="PATH", help="Model that makes the last steps."
    )
    refiner_start: float | None = option(
        "--refiner-start",
        type=float,
        help="Share of the run after which it takes over; default: 0.8.",
    )


@dataclass(frozen=True)
class PromptOptions:
    """Text besides the prompt itself."""

    negative_prompt: str = option(
        "-n", "--negative-prompt", default="", help="What the picture should not show."
    )
    style: str | None = option(
        "--style", metavar="NAME", help="Words around the prompt; see: sdrt styles."
    )
    styles_file: Path | None = option(
        "--styles",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Find the style in this JSON file too; for its form see: sdrt styles --json.",
    )

    def find_style(self) -> "str | Style | None":
        """The style itself if a file with styles was given; raises `UsageError`."""
        if self.styles_file is None:
            return self.style
        from sdrt.text.styles import find_style, known_styles, read_styles

        styles = read_styles(self.styles_file)
        if self.style is None:
            raise UsageError(
                f"--styles {self.styles_file} was given without --style; name one of: "
                f"{', '.join(styles)}"
            )
        return find_style(self.style, {**known_styles(), **styles})


@dataclass(frozen=True)
class GuidanceOptions:
    """Steps and guidance."""

    speed: str | None = option(
        "--speed",
        type=click.Choice(["exact", "balanced", "fast"]),
        help="Preset of sampler and steps; exact: the model's own (default).",
    )
    num_inference_steps: int | None = option("--steps", type=int, help="Number of denoising steps.")
    guidance_scale: float | None = option(
        "--cfg-scale", "--guidance-scale", type=float, help="Guidance strength."
    )
    image_guidance_scale: float | None = option(
        "--image-guidance",
        type=float,
        help="How near models that edit an image stay to it, from 1; default: 1.5.",
    )
    guidance_rescale: float | None = option(
        "--guidance-rescale", type=float, help="0 to 1: against glaring colours."
    )
    guidance_start: float | None = option(
        "--guidance-start", type=float, help="Share of the steps after which guidance starts."
    )
    guidance_end: float | None = option(
        "--guidance-end", type=float, help="Share after which it ends; unguided steps cost half."
    )
    guidance_split: bool = option(
        "--guidance-split", is_flag=True, help="Run both branches in turn: needs less memory."
    )


@dataclass(frozen=True)
class CacheOptions:
    """Which steps compute less."""

    cache_interval: int | None = option(
        "--cache-interval",
        type=int,
        metavar="N",
        help="Compute the whole U-Net in every N-th step, its last layers in the others.",
    )
    cache_depth: int | None = option(
        "--cache-depth", type=int, help="How many more blocks those compute; default: 0."
    )


@dataclass(frozen=True)
class SamplerOptions:
    """Sampler, noise levels and timesteps."""

    sampler: str | None = option(
        "--sampler", "--sampling-method", help="Sampling method; see: sdrt samplers."
    )
    sampler_options: tuple[str, ...] = option(
        "-O",
        "--sampler-option",
        multiple=True,
        metavar="NAME=VALUE",
        help="For example eta=0.5 or order=3; see: sdrt samplers.",
    )
    scheduler: str | None = option(
        "--scheduler", help="Spacing of noise levels: karras, exponential, beta, ays, ..."
    )
    spacing: str | None = option(
        "--spacing", help="Spacing of timesteps: leading, trailing or linspace."
    )
    scheduler_config: Path | None = option(
        "--scheduler-config",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Sample as this scheduler_config.json of diffusers says.",
    )


@dataclass(frozen=True)
class ConditioningOptions:
    """What the U-Net is given besides the prompt's text; sizes are (width, height)."""

    clip_skip: int | None = option(
        "--clip-skip", type=int, help="Layer of the text encoder, from the end: 1 is the last."
    )
    original_size: Pair | None = option(
        "--original-size", type=Size(), help="SDXL: size of the image before cropping."
    )
    crops_coords_top_left: Pair | None = option(
        "--crop", type=Point(), help="SDXL: top left corner of the crop; default: 0,0."
    )
    target_size: Pair | None = option(
        "--target-size",
        type=Size(),
        help="SDXL: size after cropping; both sizes default to the picture's own.",
    )
    aesthetic_score: float | None = option(
        "--aesthetic-score",
        type=float,
        help="SDXL refiner: how much people like it, 0 to 10; default: 6.",
    )


@dataclass(frozen=True)
class PictureOptions:
    """How many pictures, from which seeds, and of which size."""

    seed: int = option(
        "-s",
        "--seed",
        type=int,
        default=-1,
        help="Seed of the first picture; -1 draws one.",
        show_default=True,
    )
    num_images_per_prompt: int = option(
        "-b", "--batch-count", type=int, default=1, help="How many pictures."
    )
    width: int | None = option("-W", "--width", type=int, help="Pixels, a multiple of 8.")
    height: int | None = option("-H", "--height", type=int, help="Pixels, a multiple of 8.")
    size: Pair | None = option("--size", type=Size(), help="Width and height in one.")

    @property
    def sides(self) -> tuple[int | None, int | None]:
        """Width and height; raises `UsageError` if they are given twice."""
        if self.size is None:
            return self.width, self.height
        if self.width or self.height:
            raise UsageError("both --size and --width or --height were given; give one of them")
        return self.size


@dataclass(frozen=True)
class GenerateOptions:
    """Everything that `sdrt generate` takes besides the prompt."""

    adapters: AdapterOptions
    files: FileOptions
    previews: PreviewOptions
    image: ImageOptions
    control: ControlOptions
    hires: HiresOptions
    vae: VaeOptions
    refiner: RefinerOptions
    prompts: PromptOptions
    guidance: GuidanceOptions
    cache: CacheOptions
    sampler: SamplerOptions
    conditioning: ConditioningOptions
    pictures: PictureOptions
    engine: EngineOptions

    def request_options(self) -> "Options":
        """The options that were given, as `Pipeline.start` takes them; raises `UsageError`."""
        from sdrt.request.hires import read_scale
        from sdrt.sampling.sampler_settings import parse_option
        from sdrt.sampling.scheduler_config import read_config

        groups = (
            self.image,
            self.hires,
            self.vae,
            self.prompts,
            self.guidance,
            self.cache,
            self.sampler,
            self.conditioning,
            self.pictures,
        )
        given = {name: value for group in groups for name, value in values(group).items()}
        given |= self.control.given()
        given["width"], given["height"] = self.pictures.sides
        for name in ("original_size", "target_size", "crops_coords_top_left"):
            pair = given[name]
            if isinstance(pair, tuple):
                given[name] = pair[::-1]  # height before width, top before left, as in diffusers
        texts, config = self.sampler.sampler_options, self.sampler.scheduler_config
        given["sampler_options"] = dict(map(parse_option, texts)) if texts else None
        given["scheduler_config"] = read_config(config) if config is not None else None
        given["style"] = self.prompts.find_style()
        given["hires"] = read_scale(self.hires.hires) if self.hires.hires is not None else None
        given["seed"] = None if self.pictures.seed == -1 else self.pictures.seed
        for name in ("size", "styles_file"):
            del given[name]
        return cast("Options", {name: value for name, value in given.items() if value is not None})
