"""The steps of one request on one open model: conditioning, initial latents, loop."""

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from functools import cached_property

from PIL import Image

from sdrt.arrays import Array, Latents
from sdrt.generation.controls import control_names, open_controls
from sdrt.generation.initial_latents import (
    InitialLatents,
    from_image,
    from_unit_variance,
    to_edit,
)
from sdrt.generation.prompt_conditioning import PromptConditioning, encode_prompts
from sdrt.generation.result import Step
from sdrt.generation.unet_inputs import latent_shape, make_denoiser, open_unet
from sdrt.images.png import to_image
from sdrt.memory.budget import Budget
from sdrt.memory.estimate import MemoryPlan
from sdrt.networks.autoencoder import LatentDistribution
from sdrt.networks.denoiser import Denoiser
from sdrt.networks.loaded import UNET
from sdrt.networks.open_model import OpenModel
from sdrt.networks.run_state import RunState, Stopwatch
from sdrt.networks.unet import UNet
from sdrt.request.request import Request
from sdrt.request.resolve import decoder_of
from sdrt.sampling.noise import Noise
from sdrt.sampling.samplers.sampler import Denoise, Draw
from sdrt.sampling.schedule import Steps

IN_TILES = (
    "the VAE works in tiles, because the whole picture is not expected to fit into memory; it may "
    "differ from an untiled one by little. --no-vae-tiling (in Python: vae_tiling=False) never "
    "tiles"
)


class Probe:
    """Sees what passes between the stages of a run; this one keeps nothing.

    Golden vectors are recorded by one that keeps what it sees.
    """

    def conditioning(self, conditioning: PromptConditioning) -> PromptConditioning:
        """See the encoded prompts."""
        return conditioning

    def unet(self, unet: UNet) -> UNet:
        """See the U-Net that answers the denoiser."""
        return unet

    def denoiser(self, denoise: Denoise) -> Denoise:
        """See the denoiser that answers the sampler."""
        return denoise


@dataclass(frozen=True)
class DenoisingPass:
    """What turns a request's noise, or picture, into latents.

    What cannot be is refused when `steps` and `len` are first asked for: that loads nothing.
    """

    model: OpenModel
    request: Request
    budget: Budget = Budget()
    probe: Probe = Probe()
    own_steps: Steps | None = None
    """Noise levels in place of the request's own; there have to be as many."""
    previewer: str | None = None
    """The network that decodes steps on the way, if any does."""
    own_plan: MemoryPlan | None = field(default=None, compare=False)
    """A memory plan that was made before, by an earlier pass of the same run."""

    def __len__(self) -> int:
        """How many steps are made; raises `UsageError` for none."""
        return self.request.denoising_range.count(self.steps)

    @property
    def current(self) -> "DenoisingPass":
        """The pass that describes a run of this pass alone."""
        return self

    @cached_property
    def steps(self) -> Steps:
        """The noise levels; raises `UsageError` for a number of steps that cannot be."""
        return self.own_steps or self.request.steps(self.model.training_noise)

    @cached_property
    def plan(self) -> MemoryPlan:
        """How it runs within the memory that there is; asking loads nothing yet.

        Raises `OutOfMemoryError` for what does not fit.
        """
        return self.own_plan or self.budget.plan(self.model, self.request, self.previewer)

    @property
    def planned(self) -> "tuple[DenoisingPass, ...]":
        """The passes of a run of this pass alone that memory is planned for."""
        return (self,)

    @property
    def fits(self) -> bool:
        """Whether there is memory for it now, with nothing changed to save some."""
        return self.budget.holds(self._simplest_plan())

    def check_alone(self, before: int) -> None:
        """Raise `OutOfMemoryError` for what does not fit even where nothing is loaded.

        `before` is what the process has in memory then, in bytes.
        """
        may_tile = self.request.vae_tiling == "auto"
        self.budget.check_alone(self._simplest_plan(), may_tile, before)

    def _simplest_plan(self) -> MemoryPlan:
        return MemoryPlan.for_request(self.model, self.request, self.previewer)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image's latents."""
        return latent_shape(self.model.manifest, self.request)

    def with_previews(self, decoder: str | None) -> "DenoisingPass":
        """The same with a decoder in memory beside the U-Net: "full", "tiny", or None for its own.

        Raises `UnsupportedError` for a decoder that the model does not have.
        """
        name = decoder_of(self.model.manifest, decoder) if decoder else self.request.decoder
        return replace(self, previewer=name)

    def run(self, state: RunState) -> Generator[Step, None, Latents]:
        """Yield each step once it is done; return the last latents, of variance one.

        They are (images, channels, h/8, w/8).
        """
        self.begin(state)
        return (yield from self.denoise(state, self.encode(state)))

    def begin(self, state: RunState) -> None:
        """Plan memory and tell the state; raises `OutOfMemoryError` or `CancelledError`."""
        state.cancellation.check()
        plan = self.plan
        state.warn(*self.request.warnings)
        state.tiles_vae, state.releases = plan.is_tiled, not plan.keep
        if plan.is_tiled and self.request.vae_tiling == "auto":
            state.warn(IN_TILES)

    def encode(self, state: RunState) -> PromptConditioning:
        """Encode the prompts."""
        return self.probe.conditioning(encode_prompts(self.model, self.request, state))

    def denoise(
        self, state: RunState, conditioning: PromptConditioning
    ) -> Generator[Step, None, Latents]:
        """Yield the steps, return the last latents; U-Net and ControlNets are released then."""
        names = control_names(self.model, self.request)
        with self.model.networks.using(UNET, *names, state=state):
            return (yield from self._loop(state, conditioning))

    def denoiser(
        self, unet: UNet, conditioning: PromptConditioning, conditions: Latents | None = None
    ) -> Denoiser:
        """What answers the sampler, by asking the U-Net."""
        manifest = self.model.manifest
        return make_denoiser(manifest, self.request, self.steps, unet, conditioning, conditions)

    def decode(self, latents: Latents, state: RunState) -> list[Image.Image]:
        """Turn latents into pictures by the state's decoder, which is released afterwards."""
        state.cancellation.check()
        with self.model.networks.using(state.decoder, state=state):
            return [to_image(picture) for picture in self.model.decode(latents, state)]

    def _loop(
        self, state: RunState, conditioning: PromptConditioning
    ) -> Generator[Step, None, Latents]:
        sigmas, count, shape = self.steps.sigmas, len(self), self.shape
        noise = Noise(self.request.seeds)

        def draw() -> Latents:
            return noise.draw(shape)

        initial = self._initial_latents(state, draw, float(sigmas[0]))
        is_split = not self.plan.is_doubled
        unet = open_unet(self.model, self.request, conditioning.positive, is_split, state)
        text, steps = conditioning.positive, len(self.steps)
        controls = open_controls(self.model, self.request, text, steps, is_split, state)
        denoiser = self.denoiser(self.probe.unet(unet.whole), conditioning, initial.conditions)
        cache = unet.cache(self.request.feature_reuse)
        denoiser = replace(
            denoiser,
            guidance=replace(denoiser.guidance, is_split=is_split),
            controls=controls,
            cache=cache,
            evaluations=state.evaluations,
            cancellation=state.cancellation,
        )
        trajectory = self.request.sampler_settings.trajectory(
            initial.blended(self.probe.denoiser(denoiser)), initial.x, self.steps, draw
        )
        latents = initial.x
        for index in range(count):
            with Stopwatch() as watch, state.at(f"step {index + 1} of {count}"):
                x, denoised = next(trajectory)
            for shown in (x, denoised):
                shown.flags.writeable = False  # the next step reads what watchers are shown
            state.timings.step_s.append(watch.seconds)
            if index == count - 1:
                latents = initial.finished(x, float(sigmas[count]))
                unet.record(cache)
                if controls:
                    controls.record()
            yield Step(index, count, float(sigmas[index + 1]), x, denoised, watch.seconds)
        return latents

    def _initial_latents(self, state: RunState, draw: Draw, sigma: float) -> InitialLatents:
        """Noisy latents of the first level, and what the U-Net takes beside them."""
        initial, depth = self._noisy_latents(state, draw, sigma), self.request.depth
        return initial.over_depth(depth.latents(*self.shape[1:])) if depth else initial

    def _noisy_latents(self, state: RunState, draw: Draw, sigma: float) -> InitialLatents:
        """Noisy latents of the first level: noise alone, a noisy picture, or another run's."""
        request, manifest = self.request, self.model.manifest
        init, latents = request.init, request.denoising_range.latents
        if latents is not None:
            return InitialLatents(from_unit_variance(latents, sigma))
        if init is None:
            return InitialLatents(from_unit_variance(draw(), sigma))
        if init.has_alpha:
            state.warnings.append("the image has transparent parts; they were taken for white")

        def encode(picture: Array) -> LatentDistribution:
            state.cancellation.check()
            return self.model.encode_image(picture, state)

        latent = manifest.latent
        with self.model.networks.using("vae_encoder", state=state):
            if manifest.edits:
                return to_edit(init, encode, draw, sigma, latent.scale)
            return from_image(init, encode, draw, sigma, latent.downscale, manifest.takes_mask)
