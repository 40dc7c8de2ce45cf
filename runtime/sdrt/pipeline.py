"""Prompt -> picture. Reads like a table of contents; each verb lives in a module of its own."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Unpack

import numpy as np
from PIL import Image

from sdrt import machine
from sdrt.adapters.lora import Adapter
from sdrt.adapters.lora_loading import LoraSpec, changed_weights, changes_of, open_loras
from sdrt.adapters.lora_names import PARTS
from sdrt.adapters.textual_inversion import TextualInversions
from sdrt.arrays import Embeddings, Latents
from sdrt.artifact.artifact import Artifact, open_artifact
from sdrt.backends.backend import Backend, open_backend
from sdrt.backends.graph import Graph, Network, Shapes
from sdrt.backends.tile_context import Role
from sdrt.errors import ArtifactError, UnsupportedError
from sdrt.generation.hires_run import TwoPasses
from sdrt.generation.result import Result, Step
from sdrt.generation.run import Run
from sdrt.images.latent_preview import fit_preview, to_previews
from sdrt.images.metadata import Parameters
from sdrt.manifest import POOLED, Precision, Preview, TextEncoder
from sdrt.memory.budget import Budget, read_bytes
from sdrt.memory.estimate import MemoryPlan
from sdrt.networks.autoencoder import Decoded, LatentDistribution, TiledVae
from sdrt.networks.fp32_fallback import GuardedGraph
from sdrt.networks.run_state import RunState
from sdrt.request.options import Options
from sdrt.request.request import DECODERS, Request
from sdrt.request.resolve import resolve
from sdrt.sampling.schedule import Steps, TrainingNoise
from sdrt.text.conditioning import TextConditioning, checked_clip_skip, states_of
from sdrt.text.prompt import Prompt, parse
from sdrt.text.tokenizer import Tokenizer, Tokens, weighted
from sdrt.version import __version__

KEPT = frozenset({"unet", *DECODERS.values()})


def load(
    path_or_name: str | Path | None = None,
    backend: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    precision: Precision | None = None,
    keep: Collection[str] = KEPT,
    retry_precision: bool = True,
    check_memory: bool = True,
    max_memory: int | str | None = None,
    loras: Sequence[str] = (),
    embeddings: Sequence[str] = (),
) -> "Pipeline":
    """Open a model for generation.

    Nothing given: the embedded model on the fastest installed backend. `precision` is what the
    engine should execute; by default what the artifact stores, where the engine can. Networks
    named in `keep` stay in memory between uses, the others are released after each use. With
    `retry_precision` a network that gives NaN or infinity runs again in fp32, unless it ran so.
    With `check_memory` a run that would not fit is refused before anything is loaded. `max_memory`,
    in bytes or as "4G", is what the process may have at its peak: runs are made so that they are
    expected to keep to it, or refused. `loras` are added to the weights, as `Pipeline.use_loras`
    does, and words of `embeddings` to the vocabulary, as `Pipeline.use_embeddings` does.
    Raises `ArtifactError`, `UnsupportedError`, `MissingExtraError` or `UsageError`.
    """
    artifact = open_artifact(path_or_name)
    engine = open_backend(backend, device, threads, precision)
    pipe = Pipeline(artifact, engine, keep, retry_precision, check_memory, max_memory)
    pipe.use_loras(*loras)
    pipe.use_embeddings(*embeddings)
    return pipe


@dataclass(frozen=True)
class _Open:
    """A network in memory."""

    graph: Graph
    backend: Backend
    role: Role | None

    def is_for(self, backend: Backend, role: Role | None) -> bool:
        return self.backend is backend and self.role == role


class Pipeline:
    """An open model on an engine. Networks are loaded when they are first needed."""

    def __init__(
        self,
        artifact: Artifact,
        backend: Backend,
        keep: Collection[str] = KEPT,
        retry_precision: bool = True,
        check_memory: bool = True,
        max_memory: int | str | None = None,
    ) -> None:
        self.artifact, self.backend = artifact, backend
        self.retry_precision = retry_precision
        limit = read_bytes(max_memory) if isinstance(max_memory, str) else max_memory
        self.budget = Budget(limit, heeds_machine=check_memory)
        self._keep = frozenset(keep)
        self._graphs: dict[str, _Open] = {}
        self._loras: tuple[Adapter, ...] = ()
        self._inversions = TextualInversions()
        self._noise = TrainingNoise.of(artifact.manifest.schedule)
        self._encoders = artifact.manifest.text_encoders
        for encoder in self._encoders:
            self._check_tokenizer(encoder.tokenizer)
        self._tokenizers = [
            Tokenizer(artifact.root / encoder.tokenizer, encoder.length)
            for encoder in self._encoders
        ]

    def __call__(
        self,
        prompt: str | None = None,
        callback: Callable[[Step], object] | None = None,
        **options: Unpack[Options],
    ) -> Result:
        """Make pictures of a prompt; raises `UsageError` for options that cannot be.

        There is no prompt where `prompt_embeds` stands for it. `callback` is given each step;
        whatever it raises ends the work. With `start` you have the loop in your own hands.
        """
        run = self.start(prompt, **options)
        if callback:
            for step in run:
                callback(step)
        return run.result()

    def use_loras(self, *loras: str) -> None:
        """Add these LoRAs to the model's weights in place of those before; none takes all away.

        Each is `FILE[:WEIGHT]`, as on the command line. Files of the model stay as they are;
        networks are loaded anew when they are next needed, so change nothing while a run is under
        way. Raises `ArtifactError`, `UnsupportedError` or `UsageError` for what does not fit the
        model, down to one tensor; then all is as before.
        """
        asked = [LoraSpec.parse(text) for text in loras]
        self._loras = open_loras(self.artifact, self.backend, asked)
        self.release(*PARTS)

    def use_embeddings(self, *embeddings: str) -> None:
        """Know the words of these textual inversions in place of those before; none forgets all.

        Each is `FILE[:WORD]`, as on the command line; see `use_loras` for what it does and raises.
        """
        self._inversions = TextualInversions.open(self.artifact, self.backend, embeddings)
        self.release(*(encoder.graph for encoder in self._encoders))

    def start(self, prompt: str | None = None, **options: Unpack[Options]) -> Run:
        """Prepare a run that the caller steps through; nothing heavy happens yet."""
        if "unet" not in self.artifact.manifest.graphs:
            raise ArtifactError(
                f"{self.artifact.root} has no unet; it has: "
                f"{', '.join(self.artifact.manifest.graphs)}; a single graph is run by itself "
                "(docs/single-graph.md), so give the model folder that it was made from"
            )
        request = resolve(self.artifact.manifest, prompt, options)
        return TwoPasses(self, request) if request.hires else Run(self, request)

    def encode(
        self,
        prompt: str | Prompt,
        clip_skip: int = 1,
        state: RunState | None = None,
    ) -> Embeddings:
        """Turn a prompt into embeddings (1, tokens, width): 77 tokens for each of its chunks.

        Raises `UsageError` or `UnsupportedError` for a layer that the text encoder does not give.
        """
        return self.encode_text(prompt, clip_skip, state).states

    def encode_text(
        self,
        prompt: str | Prompt,
        clip_skip: int = 1,
        state: RunState | None = None,
    ) -> TextConditioning:
        """Turn a prompt into all that the U-Net takes of it; raises as `encode` does.

        Of SDXL that is an embedding of the whole prompt too: of its first chunk, as in
        AUTOMATIC1111's web UI.
        """
        prompt = parse(prompt) if isinstance(prompt, str) else prompt
        state = state or RunState()
        return TextConditioning.joined(
            [
                self._encode(encoder, self._tokens(place, prompt), clip_skip, state)
                for place, encoder in enumerate(self._encoders)
            ]
        )

    def tokens(self, prompt: str | Prompt) -> Tokens:
        """Turn a prompt into the first encoder's token ids and weights, a row for each chunk."""
        return self._tokens(0, parse(prompt) if isinstance(prompt, str) else prompt)

    def encode_tokens(
        self, tokens: Tokens, clip_skip: int = 1, state: RunState | None = None
    ) -> Embeddings:
        """Turn tokens into the first encoder's embeddings, with the errors of `encode`."""
        return self._encode(self._encoders[0], tokens, clip_skip, state or RunState()).states

    def _tokens(self, place: int, prompt: Prompt) -> Tokens:
        """What one of the encoders is given of a prompt."""
        ids = self._inversions.ids(self._encoders[place].graph)
        return self._tokenizers[place].encode(prompt, ids)

    def _encode(
        self, encoder: TextEncoder, tokens: Tokens, clip_skip: int, state: RunState
    ) -> TextConditioning:
        layer = checked_clip_skip(self.artifact.manifest, clip_skip)
        graph = GuardedGraph(self, encoder.graph, {"input_ids": (1, tokens.ids.shape[1])}, state)
        started = time.perf_counter()
        chunks = [graph.run({"input_ids": ids[None]}, state.cancellation) for ids in tokens.ids]
        states = [
            weighted(states_of(chunk, encoder, layer), weights)
            for chunk, weights in zip(chunks, tokens.weights, strict=True)
        ]
        state.timings.text_encoder_s += time.perf_counter() - started
        graph.record()
        return TextConditioning(np.concatenate(states, axis=1), chunks[0].get(POOLED))

    def encode_image(self, pictures: Decoded, state: RunState | None = None) -> LatentDistribution:
        """Turn pictures, (images, 3, height, width) in -1..1, into the distributions of latents.

        Raises `UnsupportedError` for a model without the encoder.
        """
        state = state or RunState()
        if "vae_encoder" not in self.artifact.manifest.graphs:
            raise UnsupportedError(f"{self.artifact.manifest.name!r} has no vae_encoder")
        latent = self.artifact.manifest.latent
        half = TiledVae(self, state, "vae_encoder", "sample", "latent_parameters", latent.downscale)
        parameters = half.run(pictures, ["image"] * len(pictures))
        state.timings.vae_encoder_s += half.seconds
        return LatentDistribution.of(np.stack(parameters), latent.scale)

    def decode(self, latents: Latents, state: RunState | None = None) -> list[Decoded]:
        """Turn latents into pictures, one by one: memory does not grow with their number.

        With `RunState(tiles_vae=True)` it does not grow with their size either, apart from the
        pictures.
        """
        state, latent = state or RunState(), self.artifact.manifest.latent
        half = TiledVae(self, state, state.decoder, "latent_sample", "sample", scale=1)
        places = [f"image {number} of {len(latents)}" for number in range(1, len(latents) + 1)]
        pictures = half.run(latents / np.float32(latent.scale), places)
        state.timings.vae_decoder_s += half.seconds
        return pictures

    def preview(self, latents: Latents) -> list[Image.Image]:
        """Show latents in rough colours and full size, in no time and without the decoder.

        Raises `UnsupportedError` where the latents have no such map.
        """
        return to_previews(latents, self.artifact.manifest.latent, self._preview_map)

    def graph(self, name: str, shapes: Shapes, state: RunState, role: Role | None = None) -> Graph:
        """A network ready for these input shapes: from memory, or loaded and compiled now.

        With a role it gives its `context`, or takes another's.
        """
        started = time.perf_counter()
        backend = self.backend_of(name, state)
        if name in self._graphs and not self._graphs[name].is_for(backend, role):
            self.release(name)
        if name not in self._graphs:
            network = self._changed(self.artifact.network(name, backend.formats))
            if role:
                network = network.in_role(role, backend.context(network))
            self._graphs[name] = _Open(backend.open(network), backend, role)
        graph = self._graphs[name].graph
        graph.prepare(shapes)
        spent = time.perf_counter() - started
        state.timings.load_s[name] = state.timings.load_s.get(name, 0.0) + spent
        return graph

    def context(self, name: str, state: RunState) -> tuple[str, ...]:
        """Names of what tiles through a network have to be told of the whole picture."""
        backend = self.backend_of(name, state)
        return backend.context(self.artifact.network(name, backend.formats))

    def backend_of(self, name: str, state: RunState) -> Backend:
        """What runs a network in this job."""
        return state.fallbacks.get(name, self.backend)

    @property
    def vocabulary(self) -> int:
        """How many token ids there are."""
        return self._tokenizers[0].vocabulary

    @property
    def loaded(self) -> set[str]:
        """Names of the networks that are in memory."""
        return set(self._graphs)

    def release(self, *names: str) -> None:
        """Free the memory of these networks, or of all; they load again when needed."""
        held = [name for name in names or tuple(self._graphs) if name in self._graphs]
        for name in held:
            del self._graphs[name]
        if held:
            machine.give_back_freed_blocks()

    def release_after_use(self, name: str, state: RunState | None = None) -> None:
        """Free a network unless it was asked to stay, and may stay in this job."""
        if name not in self._keep or (state and state.releases):
            self.release(name)

    def check_memory(self, request: Request) -> MemoryPlan:
        """How a request is to be run, with what it leaves open decided.

        Raises `OutOfMemoryError` if it needs more memory than there is, or than it may take.
        """
        plan = MemoryPlan.of(
            self.artifact, self.backend, request, self._keep, frozenset(self._graphs)
        )
        plan = replace(plan, changed={part: changed_weights(self._loras, part) for part in PARTS})
        plan = self.budget.fit(plan, may_tile=request.vae_tiling == "auto")
        self.budget.check(plan)
        return plan

    def steps(self, request: Request) -> Steps:
        """The noise levels that a request goes through, to the end of what it is a part of."""
        count, share = request.num_inference_steps, request.share
        steps = request.sampler_settings.steps(self._noise, count, share)
        return request.denoising_range.begun(steps.last(request.steps_to_run))

    def parameters(self, request: Request, seed: int, state: RunState) -> Parameters:
        """What to write beside a picture, once its networks have run."""
        manifest = self.artifact.manifest
        init = None if manifest.edits else request.init  # an edit has neither strength nor mask
        return Parameters(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            seed=seed,
            width=request.width,
            height=request.height,
            num_inference_steps=request.num_inference_steps,
            clip_skip=request.clip_skip,
            style=request.style,
            prompt_embeddings=request.digests,
            init_image=request.init.digests if request.init else {},
            strength=init.strength if init else None,
            paste=init.pastes if init else None,
            vae_tiling=state.tiles_vae,
            hires=asdict(request.hires) if request.hires else None,
            denoising_range=request.denoising_range.record,
            size_conditioning=request.size_options,
            sampler=request.sampler_settings.sampler,
            scheduler=request.sampler_settings.scheduler,
            spacing=request.sampler_settings.spacing,
            steps_offset=request.sampler_settings.offset,
            sampler_options=dict(request.sampler_settings.options),
            guidance_scale=request.guidance.scale,
            image_guidance_scale=request.guidance.image_scale if manifest.edits else None,
            guidance_rescale=request.guidance.rescale,
            guidance_start=request.guidance.start,
            guidance_end=request.guidance.end,
            model=manifest.name,
            model_hash=self.artifact.hash,
            loras=[adapter.record.model_dump() for adapter in self._loras],
            textual_inversions=[one.record for one in self._inversions.files],
            stored_precision=state.networks["unet"].stored,
            executed_precision=state.networks["unet"].executed,
            networks=dict(state.networks),
            backend=self.backend.name,
            threads=self.backend.threads,
            version=__version__,
        )

    def _changed(self, network: Network) -> Network:
        """The network with what was added to the model."""
        added = changes_of(self._loras, network.name)
        words = self._inversions.changes(network.name)
        return replace(network, changes={**added, **words})

    @cached_property
    def _preview_map(self) -> Preview:
        latent = self.artifact.manifest.latent
        if latent.preview:
            return latent.preview
        fitted = fit_preview(latent, lambda latents: np.stack(self.decode(latents)))
        self.release_after_use("vae_decoder")
        return fitted

    def _check_tokenizer(self, folder: str) -> None:
        for file in self.artifact.manifest.files:
            if file.startswith(f"{folder}/"):
                self.artifact.check(file)
