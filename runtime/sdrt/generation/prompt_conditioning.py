"""Conditioning of a run: its prompt and negative prompt, encoded to one length."""

from dataclasses import dataclass, replace

import numpy as np

from sdrt.arrays import Embeddings
from sdrt.networks.open_model import OpenModel
from sdrt.networks.run_state import RunState
from sdrt.request.request import Request
from sdrt.text.conditioning import TextConditioning
from sdrt.text.prompt import Prompt, parse


@dataclass(frozen=True)
class PromptConditioning:
    """What the U-Net takes of both prompts, with a row for each image."""

    positive: TextConditioning
    negative: TextConditioning | None
    """None where no step is guided."""


def encode_prompts(model: OpenModel, request: Request, state: RunState) -> PromptConditioning:
    """Encode prompt and negative prompt; the text encoders are released afterwards."""
    with model.networks.using(*model.text_encoders.graphs, state=state):
        conditioning = _Encoding(model, request, state).both()
    state.cancellation.check()
    return conditioning


def of_one_length(
    model: OpenModel, request: Request, state: RunState, *embeddings: Embeddings
) -> list[Embeddings]:
    """Fill up the shorter with the embeddings of an empty prompt.

    The U-Net takes them as one batch.
    """
    return _Encoding(model, request, state).of_one_length(*embeddings)


@dataclass(frozen=True)
class _Encoding:
    """The prompts of one request while they are encoded."""

    model: OpenModel
    request: Request
    state: RunState

    def both(self) -> PromptConditioning:
        request = self.request
        given = _given(request.prompt_embeds, request.pooled_prompt_embeds)
        positive = self._embed("prompt", request.prompt, given)
        if not request.is_guided:
            return PromptConditioning(positive, None)
        given = _given(request.negative_prompt_embeds, request.negative_pooled_prompt_embeds)
        has_zeros = self.model.manifest.zeros_for_empty_prompt
        if given is None and not request.negative_prompt and has_zeros:
            return PromptConditioning(positive, positive.zeros())
        negative = self._embed("negative prompt", request.negative_prompt, given)
        states = self.of_one_length(positive.states, negative.states)
        return PromptConditioning(
            replace(positive, states=states[0]), replace(negative, states=states[1])
        )

    def of_one_length(self, *embeddings: Embeddings) -> list[Embeddings]:
        longest = max(array.shape[1] for array in embeddings)
        if all(array.shape[1] == longest for array in embeddings):
            return list(embeddings)
        empty = self._encode("empty prompt", "").states
        filled = []
        for array in embeddings:
            missing = (longest - array.shape[1]) // empty.shape[1]
            filled.append(np.concatenate([array, np.tile(empty, (len(array), missing, 1))], axis=1))
        return filled

    def _embed(self, name: str, text: str, given: TextConditioning | None) -> TextConditioning:
        """A text's conditioning, or the embeddings that stand for it: a row for each image."""
        if given is None:
            prompt = parse(text)
            self.state.warnings += [f"{name}: {warning}" for warning in prompt.warnings]
            given = self._encode(name, prompt)
        return given.repeated(len(self.request.seeds))

    def _encode(self, name: str, prompt: str | Prompt) -> TextConditioning:
        with self.state.at(name):
            return self.model.encode_text(prompt, self.request.clip_skip, self.state)


def _given(states: Embeddings | None, pooled: Embeddings | None) -> TextConditioning | None:
    return None if states is None else TextConditioning(states, pooled)
