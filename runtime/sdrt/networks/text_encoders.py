"""The text encoders of a model with their tokenizers: prompt to conditioning."""

import numpy as np

from sdrt.adapters.active import ActiveAdapters
from sdrt.artifact.artifact import Artifact
from sdrt.manifest import POOLED, TextEncoder
from sdrt.networks.fp32_fallback import GuardedGraph
from sdrt.networks.loaded import LoadedNetworks
from sdrt.networks.run_state import RunState, Stopwatch
from sdrt.text.conditioning import TextConditioning, checked_clip_skip, states_of
from sdrt.text.prompt import Prompt, parse
from sdrt.text.tokenizer import Tokenizer, Tokens, weighted


class TextEncoders:
    """One text encoder, or the two of SDXL, whose hidden states are joined."""

    def __init__(
        self, artifact: Artifact, networks: LoadedNetworks, adapters: ActiveAdapters
    ) -> None:
        """Check the tokenizers' files and read them; raises `ArtifactError`."""
        self._manifest, self._networks, self._adapters = artifact.manifest, networks, adapters
        self._encoders = artifact.manifest.text_encoders
        for encoder in self._encoders:
            _check_tokenizer(artifact, encoder.tokenizer)
        self._tokenizers = [
            Tokenizer(artifact.root / encoder.tokenizer, encoder.length)
            for encoder in self._encoders
        ]

    @property
    def graphs(self) -> tuple[str, ...]:
        """Names of the encoders' networks."""
        return tuple(encoder.graph for encoder in self._encoders)

    @property
    def vocabulary(self) -> int:
        """How many token ids there are."""
        return self._tokenizers[0].vocabulary

    def encode(
        self, prompt: str | Prompt, clip_skip: int = 1, state: RunState | None = None
    ) -> TextConditioning:
        """Turn a prompt into all that the U-Net takes of it.

        SDXL also takes an embedding of the whole prompt: that of its first chunk, as in
        AUTOMATIC1111's web UI. Raises `UsageError` or `UnsupportedError` for a layer that the text
        encoder does not give.
        """
        prompt = parse(prompt) if isinstance(prompt, str) else prompt
        state = state or RunState()
        return TextConditioning.joined(
            [
                self._run(encoder, self._tokens(index, prompt), clip_skip, state)
                for index, encoder in enumerate(self._encoders)
            ]
        )

    def tokens(self, prompt: str | Prompt) -> Tokens:
        """Turn a prompt into the first encoder's token ids and weights, a row for each chunk."""
        return self._tokens(0, parse(prompt) if isinstance(prompt, str) else prompt)

    def encode_tokens(
        self, tokens: Tokens, clip_skip: int = 1, state: RunState | None = None
    ) -> TextConditioning:
        """Turn tokens into the first encoder's output, with the errors of `encode`."""
        return self._run(self._encoders[0], tokens, clip_skip, state or RunState())

    def _tokens(self, index: int, prompt: Prompt) -> Tokens:
        ids = self._adapters.inversions.ids(self._encoders[index].graph)
        return self._tokenizers[index].encode(prompt, ids)

    def _run(
        self, encoder: TextEncoder, tokens: Tokens, clip_skip: int, state: RunState
    ) -> TextConditioning:
        layer = checked_clip_skip(self._manifest, clip_skip)
        shapes = {"input_ids": (1, tokens.ids.shape[1])}
        graph = GuardedGraph(self._networks, encoder.graph, shapes, state)
        with Stopwatch() as watch:
            chunks = [graph.run({"input_ids": ids[None]}, state.cancellation) for ids in tokens.ids]
            states = [
                weighted(states_of(chunk, encoder, layer), weights)
                for chunk, weights in zip(chunks, tokens.weights, strict=True)
            ]
        state.timings.text_encoder_s += watch.seconds
        graph.record()
        return TextConditioning(np.concatenate(states, axis=1), chunks[0].get(POOLED))


def _check_tokenizer(artifact: Artifact, folder: str) -> None:
    for file in artifact.manifest.files:
        if file.startswith(f"{folder}/"):
            artifact.check(file)
