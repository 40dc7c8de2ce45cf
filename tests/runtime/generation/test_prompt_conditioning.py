"""From prompts, or arrays in their place, to what the U-Net is given."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.errors import UnsupportedError, UsageError
from sdrt.pipeline import Pipeline
from tests.runtime.fakes import SMALL, pixels, pretend_tiny


def test_no_word_of_a_long_prompt_is_lost(tiny: Artifact) -> None:
    tokens = []

    def counting(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name == "unet":
            tokens.append(feeds["encoder_hidden_states"].shape[1])
        return pretend_tiny(name, feeds)

    pipe = Pipeline(tiny, FakeBackend(counting))
    plain = pipe("x" * 100, seed=1, **SMALL)
    other = pipe("x" * 100 + " and a dragon", seed=1, **SMALL)
    assert plain.warnings == other.warnings == []
    assert set(tokens) == {2 * 77}  # the negative prompt is filled up
    assert np.abs(pixels(plain.images[0]) - pixels(other.images[0])).max() > 0


def test_weights_in_a_prompt_matter_and_odd_ones_are_a_warning(pipe: Pipeline) -> None:
    plain = pipe("a boat", seed=1, **SMALL)
    heavy = pipe("a (boat:1.8)", seed=1, **SMALL)
    assert np.abs(pixels(plain.images[0]) - pixels(heavy.images[0])).max() > 0
    (warning,) = pipe("a (boat:1,8)", seed=1, **SMALL).warnings
    assert warning == "prompt: '1,8' is no weight and was read as text"


def test_clip_skip_takes_an_earlier_layer_of_both_prompts(tiny: Artifact) -> None:
    pipe = Pipeline(tiny, FakeBackend(pretend_tiny))
    last, before = pipe.encode("a boat"), pipe.encode("a boat", clip_skip=2)
    np.testing.assert_array_equal(before, last / 2)
    fed = []

    def watching(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name == "unet":
            fed.append(feeds["encoder_hidden_states"])
        return pretend_tiny(name, feeds)

    result = Pipeline(tiny, FakeBackend(watching))(
        "a boat", negative_prompt="fog " * 90, clip_skip=2, **SMALL
    )
    negative = pipe.encode("fog " * 90, clip_skip=2)  # four chunks
    filled = np.concatenate([before, *[pipe.encode("", clip_skip=2)] * 3], axis=1)
    np.testing.assert_array_equal(fed[0], np.concatenate([negative, filled]))
    assert result.parameters[0].clip_skip == 2


@pytest.mark.parametrize("negative", ["", "fog", "fog " * 60])
@pytest.mark.parametrize("shape", ["(1, tokens, width)", "(tokens, width)", "(images, ...)"])
def test_embeddings_make_the_picture_of_their_prompt(
    pipe: Pipeline, negative: str, shape: str
) -> None:
    prompt, options = "a (red:1.3) boat " * 12, {**SMALL, "seed": 1, "num_images_per_prompt": 2}
    expected = pipe(prompt, negative_prompt=negative, **options)
    embeds = [pipe.encode(prompt), pipe.encode(negative)]
    if shape != "(1, tokens, width)":
        embeds = [
            array[0] if shape == "(tokens, width)" else array.repeat(2, 0) for array in embeds
        ]
    found = pipe(prompt_embeds=embeds[0], negative_prompt_embeds=embeds[1], **options)
    mixed = pipe("", prompt_embeds=embeds[0], negative_prompt=negative, **options)
    for made in (found, mixed):
        for image, other in zip(made.images, expected.images, strict=True):
            np.testing.assert_array_equal(pixels(image), pixels(other))


def test_each_image_can_have_embeddings_of_its_own(pipe: Pipeline) -> None:
    embeds = [pipe.encode("a boat"), pipe.encode("a dog" * 30)[:, :77]]
    both = pipe(prompt_embeds=np.concatenate(embeds), seed=1, num_images_per_prompt=2, **SMALL)
    for i in range(2):
        alone = pipe(prompt_embeds=embeds[i], seed=1 + i, **SMALL)
        np.testing.assert_array_equal(pixels(both.images[i]), pixels(alone.images[0]))


def test_embeddings_of_other_floating_types_and_lengths_are_taken(pipe: Pipeline) -> None:
    embeds = pipe.encode("a boat")
    wide = pipe(prompt_embeds=embeds.astype(np.float64), seed=1, **SMALL)
    plain = pipe(prompt_embeds=embeds, seed=1, **SMALL)
    np.testing.assert_array_equal(pixels(wide.images[0]), pixels(plain.images[0]))
    odd = np.zeros((1, 152, 16), np.float16)  # two chunks of 75 without the ends between them
    pipe(prompt_embeds=odd, negative_prompt_embeds=odd, **SMALL)
    pipe(prompt_embeds=odd, guidance_scale=1.0, **SMALL)


def test_later_changes_of_an_array_do_not_reach_a_run(pipe: Pipeline) -> None:
    embeds = pipe.encode("a boat")
    run = pipe.start(prompt_embeds=embeds, seed=1, **SMALL)
    embeds[:] = 0
    np.testing.assert_array_equal(
        pixels(run.result().images[0]), pixels(pipe("a boat", seed=1, **SMALL).images[0])
    )


def test_what_stood_for_the_prompt_is_known_by_its_hash(pipe: Pipeline) -> None:
    embeds = pipe.encode("a boat")
    (parameters,) = pipe(prompt_embeds=embeds, **SMALL).parameters
    assert parameters.prompt == parameters.negative_prompt == ""
    assert parameters.prompt_embeddings == {
        "prompt_embeds": hashlib.sha256(embeds.tobytes()).hexdigest()
    }
    assert pipe("a boat", **SMALL).parameters[0].prompt_embeddings == {}


def test_an_artifact_with_the_last_layer_only_refuses_to_skip_it(tiny: Artifact) -> None:
    graph = tiny.manifest.graphs["text_encoder"]
    cut = graph.model_copy(update={"outputs": graph.outputs[:1]})
    graphs = {**tiny.manifest.graphs, "text_encoder": cut}
    older = replace(tiny, manifest=tiny.manifest.model_copy(update={"graphs": graphs}))
    pipe = Pipeline(older, FakeBackend(pretend_tiny))
    assert pipe("a boat", clip_skip=1, **SMALL).parameters[0].clip_skip == 1
    with pytest.raises(UnsupportedError, match="gives only the last layer .* export the model ag"):
        pipe.start("a boat", clip_skip=2)
    with pytest.raises(UnsupportedError, match="clip_skip is 2"):
        pipe.encode("a boat", clip_skip=2)
    with pytest.raises(UsageError, match="clip_skip is 0"):
        pipe.start("a boat", clip_skip=0)
