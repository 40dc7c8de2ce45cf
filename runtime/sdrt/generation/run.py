"""One generation: a generator of steps, then the pictures."""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sdrt.arrays import Array, Embeddings, Latents
from sdrt.errors import UsageError
from sdrt.generation.initial_latents import InitialLatents, from_image, from_unit_variance, to_edit
from sdrt.generation.result import Result, Step
from sdrt.images.png import to_image
from sdrt.machine import has_int8
from sdrt.manifest import GUIDANCE_INPUT, PICTURE, POOLED, guidance_width
from sdrt.memory.estimate import MemoryPlan
from sdrt.networks.autoencoder import LatentDistribution
from sdrt.networks.denoiser import Added, Denoiser, UNet
from sdrt.networks.fp32_fallback import GuardedGraph
from sdrt.networks.run_state import RunState
from sdrt.request.request import Request
from sdrt.request.resolve import decoder_of
from sdrt.request.size_conditioning import SizeConditioning
from sdrt.sampling.noise import Noise
from sdrt.sampling.samplers.sampler import Denoise, Draw
from sdrt.text.conditioning import TextConditioning
from sdrt.text.prompt import Prompt, parse

if TYPE_CHECKING:
    from sdrt.pipeline import Pipeline


class Run:
    """One generation, step by step: iterate to watch it, ask for `result()` to have it.

    Steps that nobody iterates are made by `result()`. To stop for good, leave the loop, or call
    `cancel()` from another thread.
    """

    def __init__(self, pipeline: "Pipeline", request: Request) -> None:
        self.pipeline, self.request = pipeline, request
        self.state = RunState(decoder=request.decoder)
        self._steps = pipeline.steps(request)  # what cannot be is refused before any work
        self._count = request.denoising_range.count(self._steps)
        self._latents: Latents | None = None
        self._iterator = self._generate()

    def __iter__(self) -> Iterator[Step]:
        """Yield each step once it is done."""
        return self._iterator

    def __len__(self) -> int:
        """How many steps the run has."""
        return self._count

    @cached_property
    def plan(self) -> MemoryPlan:
        """How it is run within the memory that there is; asking loads nothing yet.

        Raises `OutOfMemoryError` for what does not fit.
        """
        return self.pipeline.check_memory(self.request)

    def cancel(self) -> None:
        """Stop at once, also inside a network; whoever waits for the run gets `CancelledError`.

        Any thread may call this, at any time. The networks stay good for the next run. Only
        loading and compiling a network go on to their end.
        """
        self.state.cancellation.request()

    def will_decode(self, decoder: str | None = None) -> None:
        """Plan for steps that are decoded on the way: a decoder is in memory beside the U-Net.

        `decoder` is as in `decode`. Call it before the run is planned or begun.
        """
        name = decoder_of(self.pipeline.artifact.manifest, decoder) if decoder else None
        self.request = replace(self.request, previews=name or self.request.decoder)

    def decode(self, latents: Latents, decoder: str | None = None) -> list[Image.Image]:
        """Make pictures of latents, as a part of the run: it can be cancelled, its time counts.

        `decoder` is "full" or "tiny"; by default it is the run's own.
        """
        self.state.cancellation.check()
        state = self.state
        if decoder is not None:
            state = replace(state, decoder=decoder_of(self.pipeline.artifact.manifest, decoder))
        try:
            decoded = self.pipeline.decode(latents, state)
        finally:
            self.pipeline.release_after_use(state.decoder, state)
        return [to_image(picture) for picture in decoded]

    def latents(self) -> Latents:
        """Make the steps that are left; gives what they end at, (images, channels, h/8, w/8).

        They are of variance one, as the U-Net takes them: with `denoising_end` there is noise in
        them, and another run goes on from there with `latents` and `denoising_start`.
        """
        for _ in self._iterator:
            pass
        self.state.cancellation.check()
        if self._latents is None:
            raise RuntimeError("this run was stopped before its last step")
        return self._latents

    def result(self) -> Result:
        """Make the steps that are left, then the pictures."""
        images = self.decode(self.latents())
        if self.request.init:
            images = [self.request.init.paste(image) for image in images]
        seeds = self.request.seeds
        return Result(
            images=images,
            parameters=[self.pipeline.parameters(self.request, seed, self.state) for seed in seeds],
            timings=self.state.timings,
            warnings=[*self.state.warnings, *self._precision_warnings()],
        )

    def _generate(self) -> Iterator[Step]:
        self.state.cancellation.check()
        plan = self.plan
        self.state.warn(*self.request.warnings)
        self.state.tiles_vae, self.state.releases = plan.is_tiled, not plan.keep
        guidance = replace(self.request.guidance, is_split=not plan.is_doubled)
        self.request = replace(self.request, guidance=guidance)
        if plan.is_tiled and self.request.vae_tiling == "auto":
            self.state.warnings.append(
                "the VAE works in tiles, because the whole picture is not expected to fit into "
                "memory; it may differ from an untiled one by little. --no-vae-tiling (in Python: "
                "vae_tiling=False) never tiles"
            )
        yield from self._make_steps()

    def _make_steps(self) -> Iterator[Step]:
        try:
            yield from self._denoise()
        finally:
            self.pipeline.release_after_use("unet", self.state)

    def _denoise(self) -> Iterator[Step]:
        steps, sigmas = self._steps, self._steps.sigmas
        positive, negative = self._embeddings()
        noise, shape = Noise(self.request.seeds), self._latent_shape()
        start = self._start(lambda: noise.draw(shape), float(sigmas[0]))
        unet = self._unet(positive)
        denoise = start.led(self._denoiser(unet, positive, negative, start.conditions))
        trajectory = self.request.sampler_settings.trajectory(
            denoise, start.x, steps, lambda: noise.draw(shape)
        )
        for index in range(self._count):
            started = time.perf_counter()
            with self.state.at(f"step {index + 1} of {self._count}"):
                x, denoised = next(trajectory)
            seconds = time.perf_counter() - started
            for shown in (x, denoised):
                shown.flags.writeable = False  # the next step reads what watchers are shown
            self.state.timings.step_s.append(seconds)
            if index == self._count - 1:
                self._latents = start.finished(x, float(sigmas[self._count]))
                unet.record()
            yield Step(index, self._count, float(sigmas[index + 1]), x, denoised, seconds)

    def _start(self, draw: Draw, sigma: float) -> InitialLatents:
        """Noisy latents of the first level, of noise alone, of a picture, or of another run."""
        init, manifest = self.request.init, self.pipeline.artifact.manifest
        if self.request.denoising_range.latents is not None:
            return InitialLatents(from_unit_variance(self.request.denoising_range.latents, sigma))
        if init is None:
            return InitialLatents(from_unit_variance(draw(), sigma))
        if init.has_alpha:
            self.state.warnings.append("the image has transparent parts; they were taken for white")
        latent, encode = manifest.latent, self._encode_image
        try:
            if manifest.edits:
                return to_edit(init, encode, draw, sigma, latent.scale)
            return from_image(init, encode, draw, sigma, latent.downscale, manifest.takes_mask)
        finally:
            self.pipeline.release_after_use("vae_encoder", self.state)

    def _encode_image(self, picture: Array) -> LatentDistribution:
        self.state.cancellation.check()
        return self.pipeline.encode_image(picture, self.state)

    def _precision_warnings(self) -> list[str]:
        """A warning for each precision that was executed and not asked for.

        An int8 model keeps some networks in float on purpose; those that it has in int8 have to be
        executed so even where nobody asks. Networks that had to go on in fp32 have a warning.
        """
        backend, model = self.pipeline.backend, self.pipeline.artifact.manifest.precision
        names: dict[tuple[str, str], list[str]] = {}
        for name, record in self.state.networks.items():
            asked = backend.precision or (record.stored if record.stored == "int8" else None)
            is_known = record.retried or asked == model == "int8" != record.stored
            if asked not in (None, record.executed) and not is_known:
                names.setdefault((asked, record.executed), []).append(name)
        warnings = [
            f"{backend.name} was asked for {asked} and executed {executed}: {', '.join(those)}"
            for (asked, executed), those in names.items()
        ]
        if not has_int8() and any(one.stored == "int8" for one in self.state.networks.values()):
            warnings.append(
                "this processor has no VNNI: int8 is slow here, and sums may overflow; better use "
                "the model in fp32"
            )
        return warnings

    def _unet(self, text: TextConditioning) -> GuardedGraph:
        """The U-Net, ready for as many tokens as a text has; raises `UsageError` for too many."""
        manifest, tokens = self.pipeline.artifact.manifest, text.states.shape[1]
        if manifest.text_tokens not in (tokens, "tokens"):
            raise UsageError(
                f"the prompt is {tokens} tokens long with its padding, and the U-Net of "
                f"{manifest.name!r} takes {manifest.text_tokens} only; shorten it, or export the "
                "model with: sdrt export"
            )
        sides = 1 if self.request.guidance.is_split else self.request.sides
        batch = len(self.request.seeds) * sides
        channels, *size = self._latent_shape()
        shapes: dict[str, tuple[int, ...]] = {
            "sample": (batch, channels + self.pipeline.artifact.manifest.conditions, *size),
            "timestep": (),
            "encoder_hidden_states": (batch, *text.states.shape[1:]),
        }
        for name, array in self._added(text, self.request.size_conditioning).items():
            shapes[name] = (batch, *array.shape[1:])
        if width := guidance_width(self.pipeline.artifact.manifest.graphs.get("unet")):
            shapes[GUIDANCE_INPUT] = (batch, width)
        return GuardedGraph(self.pipeline, "unet", shapes, self.state)

    def _denoiser(
        self,
        unet: UNet,
        positive: TextConditioning,
        negative: TextConditioning | None,
        conditions: Latents | None,
    ) -> Denoise:
        request = self.request
        return Denoiser(
            unet=unet,
            steps=self._steps,
            prediction=self.pipeline.artifact.manifest.prediction,
            positive=positive.states,
            negative=negative.states if negative else None,
            conditions=conditions,
            added=self._added(positive, request.size_conditioning),
            negative_added=self._added(negative, request.negative_size_conditioning)
            if negative
            else {},
            guidance=request.guidance,
            clipping=request.sampler_settings.clipping,
            timestep_scaling=request.sampler_settings.timestep_scaling,
            cancellation=self.state.cancellation,
        )

    def _added(self, text: TextConditioning, size_conditioning: SizeConditioning | None) -> Added:
        """What the U-Net takes beside embeddings: of most models nothing."""
        added: dict[str, Array] = {}
        if text.pooled is not None and self.pipeline.artifact.manifest.pooled_width is not None:
            added[POOLED] = text.pooled
        if size_conditioning:
            added[PICTURE] = np.repeat(size_conditioning.row, len(text.states), axis=0)
        return added

    def _embeddings(self) -> tuple[TextConditioning, TextConditioning | None]:
        """Of prompt and negative prompt, the latter None without guidance."""
        try:
            positive, negative = self._embed_both()
        finally:
            for encoder in self.pipeline.artifact.manifest.text_encoders:
                self.pipeline.release_after_use(encoder.graph, self.state)
        self.state.cancellation.check()
        return positive, negative

    def _embed_both(self) -> tuple[TextConditioning, TextConditioning | None]:
        request, manifest = self.request, self.pipeline.artifact.manifest
        given = _given(request.prompt_embeds, request.pooled_prompt_embeds)
        positive = self._embed("prompt", request.prompt, given)
        if not request.is_guided:
            return positive, None
        given = _given(request.negative_prompt_embeds, request.negative_pooled_prompt_embeds)
        if given is None and not request.negative_prompt and manifest.zeros_for_empty_prompt:
            return positive, positive.zeros()
        negative = self._embed("negative prompt", request.negative_prompt, given)
        states = self._of_one_length(positive.states, negative.states)
        return replace(positive, states=states[0]), replace(negative, states=states[1])

    def _embed(self, what: str, text: str, given: TextConditioning | None) -> TextConditioning:
        """Embeddings of a text, or those that stand for it: one for each image."""
        if given is None:
            prompt = parse(text)
            self.state.warnings += [f"{what}: {warning}" for warning in prompt.warnings]
            given = self._encode(what, prompt)
        return given.repeated(len(self.request.seeds))

    def _encode(self, what: str, prompt: str | Prompt) -> TextConditioning:
        with self.state.at(what):
            return self.pipeline.encode_text(prompt, self.request.clip_skip, self.state)

    def _of_one_length(self, *embeddings: Embeddings) -> list[Embeddings]:
        """Fill up the shorter with the embeddings of nothing: the U-Net takes them as one batch."""
        longest = max(one.shape[1] for one in embeddings)
        if all(one.shape[1] == longest for one in embeddings):
            return list(embeddings)
        nothing = self._encode("empty prompt", "").states
        filled = []
        for one in embeddings:
            missing = (longest - one.shape[1]) // nothing.shape[1]
            filled.append(np.concatenate([one, np.tile(nothing, (len(one), missing, 1))], axis=1))
        return filled

    def _latent_shape(self) -> tuple[int, int, int]:
        latent, request = self.pipeline.artifact.manifest.latent, self.request
        size = request.height // latent.downscale, request.width // latent.downscale
        return latent.channels, *size


def _given(states: Embeddings | None, pooled: Embeddings | None) -> TextConditioning | None:
    return None if states is None else TextConditioning(states, pooled)
