"""The stages of one picture: watched while it is made, and each done by itself."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sdrt.arrays import Array, Embeddings, Latents
from sdrt.backends.cancellation import Cancellation
from sdrt.backends.graph import Network
from sdrt.errors import UnsupportedError
from sdrt.generation.denoising_pass import DenoisingPass, Probe
from sdrt.generation.initial_latents import from_unit_variance, to_unit_variance
from sdrt.generation.prompt_conditioning import PromptConditioning, of_one_length
from sdrt.generation.run import Run
from sdrt.images.png import to_image
from sdrt.manifest import Manifest
from sdrt.networks.fp32_fallback import GuardedGraph
from sdrt.networks.run_state import RunState
from sdrt.networks.unet import UNet
from sdrt.pipeline import Pipeline
from sdrt.request.request import Request
from sdrt.request.resolve import check_prompt_alone
from sdrt.sampling.noise import Noise
from sdrt.sampling.samplers.sampler import Denoise
from sdrt.sampling.schedule import Steps
from sdrt.text.conditioning import TextConditioning
from sdrt.text.tokenizer import Tokens

FEEDS = {
    "sample": "sample",
    "timestep": "timestep",
    "encoder_hidden_states": "embeddings",
    "timestep_cond": "timestep_cond",
}
"""The U-Net's inputs, and what a golden file calls them."""


@dataclass(frozen=True)
class Answer:
    """What a sampler got when it asked for clean latents, and how."""

    sigma: float
    feeds: Mapping[str, Array]
    out: Array
    denoised: Latents


class Stages:
    """The stages of one request, each from inputs that the caller brings.

    Raises `UnsupportedError` for models that golden vectors are not made of, and `UsageError` for a
    number of steps that cannot be.
    """

    def __init__(self, pipeline: Pipeline, request: Request) -> None:
        check_stages(pipeline.manifest)
        self.pipeline, self.request = pipeline, request
        self._pass = DenoisingPass(pipeline, request, pipeline.budget)
        self.steps: Steps = self._pass.steps

    def tokens(self) -> list[Tokens]:
        """Tokens of the prompt, and of the negative prompt if the run is guided."""
        prompts = [self.request.prompt, self.request.negative_prompt]
        return [self.pipeline.tokens(text) for text in prompts[: 1 + self.request.is_guided]]

    def encode(self, tokens: Sequence[Tokens], state: RunState) -> list[Embeddings]:
        """Embeddings of tokens, as the U-Net takes them: all of one length."""
        embeddings = [self.pipeline.encode_tokens(each, 1, state) for each in tokens]
        return of_one_length(self.pipeline, self.request, state, *embeddings)

    def noise(self, draws: int) -> Array:
        """The run's first draws: (draws, channels, h, w)."""
        noise = Noise(self.request.seeds)
        return np.concatenate([noise.draw(self._pass.shape) for _ in range(draws)])

    def run_unet(self, feeds: Mapping[str, Array], state: RunState) -> Array:
        """The U-Net's output."""
        shapes = {name: array.shape for name, array in feeds.items()}
        graph = GuardedGraph(self.pipeline.networks, "unet", shapes, state)
        out: Array = graph.run(feeds)["out_sample"]
        graph.record()
        return out

    def denoise(self, network: Network, answer: Answer, embeddings: list[Embeddings]) -> Latents:
        """Clean latents from an output of the U-Net; only the first row of its latents counts."""
        x = from_unit_variance(answer.feeds["sample"][:1], answer.sigma)
        texts = [TextConditioning(states) for states in embeddings]
        conditioning = PromptConditioning(texts[0], texts[1] if len(texts) > 1 else None)
        denoiser = self._pass.denoiser(_KnownUNet(network, answer.out), conditioning)
        return denoiser(x, answer.sigma)

    def sample(self, noise: Array, denoised: Array) -> tuple[Array, int]:
        """Latents after each step, from given noise and clean latents, and how much was drawn."""
        answers, draws = iter(denoised), iter(noise)
        drawn = 1
        x = from_unit_variance(next(draws)[None], float(self.steps.sigmas[0]))

        def draw() -> Latents:
            nonlocal drawn
            drawn += 1
            return _next(draws, noise)[None]

        trajectory = self.request.sampler_settings.trajectory(
            lambda x, sigma: _next(answers, denoised)[None], x, self.steps, draw
        )
        return np.concatenate([x for x, _ in trajectory]), drawn

    def pixels(self, latents: Array, state: RunState) -> Array:
        """The picture of the last latents: (height, width, 3)."""
        scaled = to_unit_variance(latents[None], float(self.steps.sigmas[-1]))
        return np.asarray(to_image(self.pipeline.decode(scaled, state)[0]))

    def run(self, probe: Probe | None = None) -> Run:
        """All stages in a row, as everybody runs them."""
        pipeline, request = self.pipeline, self.request
        passes = DenoisingPass(pipeline, request, pipeline.budget, probe or Probe())
        return Run(pipeline, request, passes=passes)


@dataclass
class Recording(Probe):
    """Keeps what passes between the stages of a run."""

    embeddings: list[Embeddings] = field(default_factory=list)
    """Those of the prompt, and those of the negative prompt if the run is guided."""
    answers: list[Answer] = field(default_factory=list)
    _unet: "_RecordedUNet | None" = None

    def conditioning(self, conditioning: PromptConditioning) -> PromptConditioning:
        """Keep the embeddings."""
        texts = conditioning.positive, conditioning.negative
        self.embeddings = [text.states for text in texts if text]
        return conditioning

    def unet(self, unet: UNet) -> UNet:
        """Keep the U-Net's last inputs and output."""
        self._unet = _RecordedUNet(unet)
        return self._unet

    def denoiser(self, denoise: Denoise) -> Denoise:
        """Keep every answer that the sampler gets."""

        def recorded(x: Latents, sigma: float) -> Latents:
            denoised = denoise(x, sigma)
            assert self._unet
            self.answers.append(Answer(sigma, *self._unet.last[-1], denoised.copy()))
            return denoised

        return recorded


def check_stages(manifest: Manifest) -> None:
    """Raise `UnsupportedError` for a model that has other stages than golden vectors are of."""
    if len(manifest.text_encoders) > 1 or manifest.pooled_width is not None:
        raise UnsupportedError(
            f"{manifest.name!r} is a Stable Diffusion XL; golden vectors are of models with "
            "one text encoder, and without a pooled embedding"
        )
    check_prompt_alone(manifest, "golden vectors are made of a prompt alone")


@dataclass
class _RecordedUNet:
    """A U-Net that keeps its last inputs and output."""

    unet: UNet
    last: list[tuple[dict[str, Array], Array]] = field(default_factory=list)

    @property
    def network(self) -> Network:
        return self.unet.network

    def run(
        self, feeds: Mapping[str, Array], cancellation: Cancellation | None = None
    ) -> dict[str, Array]:
        outputs = self.unet.run(feeds, cancellation)
        kept = {name: np.array(array, np.float32) for name, array in feeds.items()}
        self.last = [(kept, outputs["out_sample"].copy())]
        return outputs


@dataclass(frozen=True)
class _KnownUNet:
    """A U-Net whose output is known."""

    network: Network
    out: Array

    def run(
        self, feeds: Mapping[str, Array], cancellation: Cancellation | None = None
    ) -> dict[str, Array]:
        return {"out_sample": self.out}


def _next(rows: Iterator[Array], all_rows: Array) -> Array:
    """The next row; the last once more where a sampler asks for more than there are."""
    row = next(rows, None)
    return all_rows[-1] if row is None else row
