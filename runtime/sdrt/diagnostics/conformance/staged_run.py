"""A run whose stages can be watched, and each be done by itself."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sdrt.arrays import Array, Embeddings, Latents
from sdrt.backends.cancellation import Cancellation
from sdrt.backends.graph import Network
from sdrt.errors import UnsupportedError
from sdrt.generation.initial_latents import from_unit_variance, to_unit_variance
from sdrt.generation.run import Run
from sdrt.images.png import to_image
from sdrt.manifest import Manifest
from sdrt.networks.denoiser import UNet
from sdrt.networks.fp32_fallback import GuardedGraph
from sdrt.networks.run_state import RunState
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


class StagedRun(Run):
    """One picture, watched while it is made; its parts also work on what they are given."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        check_stages(self.pipeline.artifact.manifest)
        self.answers: list[Answer] = []
        self.embeddings: tuple[Embeddings, Embeddings | None] | None = None

    @property
    def steps(self) -> Steps:
        """The noise levels."""
        return self._steps

    def tokens(self) -> list[Tokens]:
        """Of the prompt, and of the negative prompt if the run is guided."""
        texts = [self.request.prompt, self.request.negative_prompt]
        return [self.pipeline.tokens(text) for text in texts[: 1 + self.request.is_guided]]

    def encode(self, tokens: Sequence[Tokens], state: RunState) -> list[Embeddings]:
        """Embeddings of tokens, as the U-Net takes them: all of one length."""
        self.state = state
        return self._of_one_length(*[self.pipeline.encode_tokens(one, 1, state) for one in tokens])

    def noise(self, draws: int) -> Array:
        """The run's first draws: (draws, channels, h, w)."""
        noise, shape = Noise(self.request.seeds), self._latent_shape()
        return np.concatenate([noise.draw(shape) for _ in range(draws)])

    def ask_unet(self, feeds: Mapping[str, Array], state: RunState) -> Array:
        """The U-Net's answer."""
        shapes = {name: array.shape for name, array in feeds.items()}
        graph = GuardedGraph(self.pipeline, "unet", shapes, state)
        out: Array = graph.run(feeds)["out_sample"]
        graph.record()
        return out

    def denoise(self, network: Network, answer: Answer, embeddings: list[Embeddings]) -> Latents:
        """Clean latents from an answer of the U-Net's; of its latents the first row counts."""
        x = from_unit_variance(answer.feeds["sample"][:1], answer.sigma)
        texts = [TextConditioning(one) for one in embeddings]
        negative = texts[1] if len(texts) > 1 else None
        denoiser = super()._denoiser(_Given(network, answer.out), texts[0], negative, None)
        return denoiser(x, answer.sigma)

    def walk(self, noise: Array, denoised: Array) -> tuple[Array, int]:
        """Latents after each step, from given noise and clean latents, and how much was drawn."""
        answers, draws = iter(denoised), iter(noise)
        drawn = 1
        x = from_unit_variance(next(draws)[None], float(self._steps.sigmas[0]))

        def draw() -> Latents:
            nonlocal drawn
            drawn += 1
            return _next(draws, noise)[None]

        path = self.request.sampler_settings.trajectory(
            lambda x, sigma: _next(answers, denoised)[None], x, self._steps, draw
        )
        return np.concatenate([x for x, _ in path]), drawn

    def pixels(self, latents: Array, state: RunState) -> Array:
        """The picture of the last latents: (height, width, 3)."""
        scaled = to_unit_variance(latents[None], float(self._steps.sigmas[-1]))
        return np.asarray(to_image(self.pipeline.decode(scaled, state)[0]))

    def _embed_both(self) -> tuple[TextConditioning, TextConditioning | None]:
        positive, negative = super()._embed_both()
        self.embeddings = positive.states, negative.states if negative else None
        return positive, negative

    def _denoiser(
        self,
        unet: UNet,
        positive: TextConditioning,
        negative: TextConditioning | None,
        conditions: Latents | None,
    ) -> Denoise:
        tap = _Tap(unet)
        denoise = super()._denoiser(tap, positive, negative, conditions)

        def watched(x: Latents, sigma: float) -> Latents:
            denoised = denoise(x, sigma)
            self.answers.append(Answer(sigma, *tap.last[-1], denoised.copy()))
            return denoised

        return watched


def check_stages(manifest: Manifest) -> None:
    """Raise `UnsupportedError` for a model that has other stages than golden vectors are of."""
    if len(manifest.text_encoders) > 1 or manifest.pooled_width is not None:
        raise UnsupportedError(
            f"{manifest.name!r} is a Stable Diffusion XL; golden vectors are of models with "
            "one text encoder, and without a pooled embedding"
        )
    check_prompt_alone(manifest, "golden vectors are made of a prompt alone")


@dataclass
class _Tap:
    """A U-Net that keeps its last question and answer."""

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
class _Given:
    """A U-Net whose answer is known."""

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
