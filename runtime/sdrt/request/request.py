"""A complete request, frozen: what a run is made from."""

from dataclasses import dataclass, field

from sdrt.arrays import Embeddings
from sdrt.manifest import TINY_DECODER
from sdrt.request.denoising_range import DenoisingRange
from sdrt.request.hires import Hires
from sdrt.request.init_image import InitImage
from sdrt.request.options import VaeTiling
from sdrt.request.size_conditioning import NEGATIVE, SizeConditioning
from sdrt.sampling.guidance import Guidance
from sdrt.sampling.sampler_settings import SamplerSettings
from sdrt.sampling.schedule import Steps, TrainingNoise
from sdrt.text.prompt_embeddings import digest

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
    sampler_settings: SamplerSettings
    seeds: tuple[int, ...]
    clip_skip: int = 1
    style: str | None = None
    """Name of the style whose words are in the prompts already."""
    prompt_embeds: Embeddings | None = field(default=None, compare=False)
    negative_prompt_embeds: Embeddings | None = field(default=None, compare=False)
    """Where they are given, the prompt is empty."""
    pooled_prompt_embeds: Embeddings | None = field(default=None, compare=False)
    negative_pooled_prompt_embeds: Embeddings | None = field(default=None, compare=False)
    size_conditioning: SizeConditioning | None = None
    """What the U-Net is told of the picture; None for models that are told nothing."""
    negative_size_conditioning: SizeConditioning | None = None
    init: InitImage | None = None
    """What the run starts from, if not from noise alone."""
    denoising_range: DenoisingRange = DenoisingRange()
    """What share of the run is made here."""
    vae_tiling: VaeTiling = "auto"
    hires: Hires | None = None
    """The second pass, if there is one."""
    decoder: str = "vae_decoder"
    """The network that makes pictures of latents."""
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

    def steps(self, noise: TrainingNoise) -> Steps:
        """The noise levels that are gone through, to the end of the denoising range.

        Raises `UsageError` for a number of steps that cannot be.
        """
        steps = self.sampler_settings.steps(noise, self.num_inference_steps, self.share)
        return self.denoising_range.begun(steps.last(self.steps_to_run))

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
    def size_options(self) -> dict[str, tuple[int, int] | float]:
        """What the U-Net is told of the picture, as options; beside the negative prompt if else."""
        told = self.size_conditioning.options if self.size_conditioning else {}
        if (
            self.negative_size_conditioning
            and self.negative_size_conditioning != self.size_conditioning
        ):
            more = self.negative_size_conditioning.options
            told |= {NEGATIVE + name: value for name, value in more.items()}
        return told
