"""A complete request, frozen: everything that a run is made from."""

from dataclasses import dataclass, field

from sdrt.arrays import Embeddings
from sdrt.manifest import TINY_DECODER
from sdrt.request.controls import ControlRequest
from sdrt.request.denoising_range import DenoisingRange
from sdrt.request.depth_map import DepthMap
from sdrt.request.feature_reuse import FeatureReuse
from sdrt.request.hires import Hires
from sdrt.request.init_image import InitImage, count_steps
from sdrt.request.options import Speed, VaeTiling
from sdrt.request.size_conditioning import NEGATIVE, SizeConditioning
from sdrt.sampling.guidance import Guidance
from sdrt.sampling.sampler_settings import SamplerSettings
from sdrt.sampling.schedule import Steps, TrainingNoise
from sdrt.text.prompt_embeddings import digest

POOLED_EMBEDDINGS = {
    "pooled_prompt_embeds": "prompt_embeds",
    "negative_pooled_prompt_embeds": "negative_prompt_embeds",
}
"""Each pooled embedding, and the embeddings that it belongs to."""
EMBEDDINGS = (*POOLED_EMBEDDINGS.values(), *POOLED_EMBEDDINGS)
DECODERS = {"full": "vae_decoder", "tiny": TINY_DECODER}


@dataclass(frozen=True)
class Request:
    """Options that were checked and completed: what `resolve` returns."""

    prompt: str
    """The prompt with the style's words around it; empty where embeddings replace it."""
    negative_prompt: str
    """The negative prompt with the style's words; empty where embeddings replace it."""
    width: int
    """Width of the pictures in pixels; with `hires`, of the first pass's."""
    height: int
    """Height of the pictures in pixels; with `hires`, of the first pass's."""
    num_inference_steps: int
    """Number of steps of the whole schedule, of which an image or a range leaves out some."""
    guidance: Guidance
    """Strength, interval and rescaling of guidance."""
    is_guided: bool
    """Whether any step runs the U-Net for the negative prompt too."""
    sampler_settings: SamplerSettings
    """Sampler, noise levels and their options."""
    seeds: tuple[int, ...]
    """One seed for each image."""
    speed: Speed = "exact"
    """The preset whose settings filled the gaps of the options."""
    feature_reuse: FeatureReuse = FeatureReuse()
    """Which evaluations of the U-Net use the deep features of an earlier one."""
    clip_skip: int = 1
    """The layer of the text encoder to use, counted from its end."""
    style: str | None = None
    """The name of the style whose words both prompts contain."""
    prompt_embeds: Embeddings | None = field(default=None, compare=False)
    """Embeddings in place of the prompt, (1 or images, tokens, width)."""
    negative_prompt_embeds: Embeddings | None = field(default=None, compare=False)
    """Embeddings in place of the negative prompt, (1 or images, tokens, width)."""
    pooled_prompt_embeds: Embeddings | None = field(default=None, compare=False)
    """The pooled embedding that belongs to `prompt_embeds`, (1 or images, width), of SDXL."""
    negative_pooled_prompt_embeds: Embeddings | None = field(default=None, compare=False)
    """The pooled embedding that belongs to `negative_prompt_embeds`, of SDXL."""
    size_conditioning: SizeConditioning | None = None
    """Size conditioning for the prompt, or None for models that take none."""
    negative_size_conditioning: SizeConditioning | None = None
    """Size conditioning for the negative prompt, or None for models that take none."""
    init: InitImage | None = None
    """The image that the run starts from, or None if it starts from noise or latents."""
    depth: DepthMap | None = None
    """The depth map of a depth model; None for all others."""
    denoising_range: DenoisingRange = DenoisingRange()
    """The share of the schedule that the run covers."""
    controls: tuple[ControlRequest, ...] = ()
    """ControlNets with their hints."""
    guess_mode: bool = False
    """Whether ControlNets guide the prompt's own branch alone, and deeper layers more."""
    vae_tiling: VaeTiling = "auto"
    """Whether the VAE works in tiles; "auto" lets the memory plan decide."""
    hires: Hires | None = None
    """The second pass, if there is one."""
    decoder: str = "vae_decoder"
    """The name of the network that decodes the final latents."""
    squeezes_steps: bool = False
    """Whether all steps are squeezed into the share of the schedule that `init.strength` leaves.

    Latent consistency models do so, since they have few steps; others run that share of the steps.
    """
    warnings: tuple[str, ...] = ()
    """Sentences about options that have no effect."""

    @property
    def share(self) -> float:
        """The share of the schedule, from its clean end, that the steps are spread over."""
        return self.init.strength if self.init and self.squeezes_steps else 1.0

    @property
    def steps_to_run(self) -> int:
        """How many of the steps run: all, or the last ones if there is an initial image."""
        strength = self.init.strength if self.init else 1.0
        return count_steps(self.num_inference_steps, strength, self.squeezes_steps)

    def steps(self, noise: TrainingNoise) -> Steps:
        """The noise levels from the start of the denoising range to the end of the schedule.

        Raises `UsageError` for a number of steps that the sampler cannot make.
        """
        steps = self.sampler_settings.steps(noise, self.num_inference_steps, self.share)
        return self.denoising_range.begun(steps.last(self.steps_to_run))

    @property
    def branches(self) -> int:
        """How many branches of the U-Net a guided step combines; 1 without guidance."""
        return 1 if not self.is_guided else 3 if self.guidance.image_scale > 1 else 2

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the embeddings that replace prompts, by their option's name."""
        given = {name: getattr(self, name) for name in EMBEDDINGS}
        return {name: digest(array) for name, array in given.items() if array is not None}

    @property
    def size_options(self) -> dict[str, tuple[int, int] | float]:
        """Size conditioning as options; those of the negative prompt only where they differ."""
        positive, negative = self.size_conditioning, self.negative_size_conditioning
        options = positive.options if positive else {}
        if negative and negative != positive:
            options |= {NEGATIVE + name: value for name, value in negative.options.items()}
        return options
