"""What networks of Stable Diffusion XL are fed, on the fake engine."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.errors import UnsupportedError, UsageError
from sdrt.manifest import GraphSpec, Manifest, TensorSpec
from sdrt.pipeline import Pipeline
from sdrt.request.size_conditioning import SizeConditioning

WIDTHS, POOLED, LAYERS = (3, 5), 4, 4
SMALL: dict[str, Any] = {"width": 64, "height": 80, "num_inference_steps": 1, "seed": 1}


def tensor(name: str, *shape: int | str, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


def xl(demo: Artifact) -> Artifact:
    """The embedded model with the signatures of an XL; its files are never opened."""
    graphs = dict(demo.manifest.graphs)
    for number, name in enumerate(("text_encoder", "text_encoder_2")):
        states = [f"hidden_states.{i}" for i in range(LAYERS + 1)]
        outputs = [
            tensor(output_name, "batch", 77, WIDTHS[number])
            for output_name in ("last_hidden_state", *states)
        ]
        if number:
            outputs.insert(0, tensor("text_embeds", "batch", POOLED))
        graphs[name] = GraphSpec(
            files=graphs["text_encoder"].files,
            inputs=(tensor("input_ids", "batch", 77, dtype="int64"),),
            outputs=tuple(outputs),
        )
    more = (
        tensor("encoder_hidden_states", "batch", "tokens", sum(WIDTHS)),
        tensor("text_embeds", "batch", POOLED),
        tensor("time_ids", "batch", 6),
    )
    own = [spec for spec in graphs["unet"].inputs if spec.name != "encoder_hidden_states"]
    graphs["unet"] = graphs["unet"].model_copy(update={"inputs": (*own, *more)})
    first = demo.manifest.text_encoders[0].model_copy(update={"layer": "penultimate"})
    second = first.model_copy(update={"graph": "text_encoder_2"})
    update = {
        "family": "sdxl",
        "graphs": graphs,
        "text_encoders": (first, second),
        "zeros_for_empty_prompt": True,
    }
    return Artifact(demo.root, demo.manifest.model_copy(update=update))


class Networks(FakeBackend):
    """Answers of the right shapes, which tell by their numbers where they are from."""

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.feeds: list[Mapping[str, Array]] = []

    def answer(self, name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name == "unet":
            self.feeds.append(feeds)
            return {"out_sample": np.zeros_like(feeds["sample"])}
        if name == "vae_decoder":
            batch, _, height, width = feeds["latent_sample"].shape
            return {"sample": np.zeros((batch, 3, height * 8, width * 8), np.float32)}
        number = int(name == "text_encoder_2")
        shape = len(feeds["input_ids"]), 77, WIDTHS[number]
        outputs = {
            f"hidden_states.{i}": np.full(shape, 10 * number + i, np.float32)
            for i in range(LAYERS + 1)
        }
        outputs["last_hidden_state"] = np.full(shape, -1, np.float32)
        if number:
            # Of this text: its number of tokens before the end.
            end = feeds["input_ids"].argmax(axis=1)[:, None]
            outputs["text_embeds"] = np.repeat(end, POOLED, axis=1).astype(np.float32)
        return outputs


def fed(demo: Artifact, prompt: str = "a boat", **options: Any) -> Mapping[str, Array]:
    """What the U-Net was given in the first step."""
    networks = Networks()
    Pipeline(xl(demo), networks)(prompt, **{**SMALL, **options})
    return networks.feeds[0]


def test_states_stand_side_by_side_from_the_last_layer_but_one(demo: Artifact) -> None:
    states = fed(demo, guidance_scale=1.0)["encoder_hidden_states"]
    assert states.shape == (1, 77, 8)
    np.testing.assert_array_equal(states[0, 5], [3] * 3 + [13] * 5)
    skipped = fed(demo, guidance_scale=1.0, clip_skip=2)["encoder_hidden_states"]
    np.testing.assert_array_equal(skipped[0, 5], [2] * 3 + [12] * 5)
    with pytest.raises(UsageError, match="clip_skip is 4; expected a whole number from 1 to 3"):
        fed(demo, clip_skip=4)


def test_an_empty_negative_prompt_is_zeros(demo: Artifact) -> None:
    zeros, said = fed(demo), fed(demo, negative_prompt="fog")
    for name in ("encoder_hidden_states", "text_embeds"):
        assert not zeros[name][0].any()
        assert said[name][0].any()
        np.testing.assert_array_equal(zeros[name][1], said[name][1])
    encoded = xl(demo).manifest.model_copy(update={"zeros_for_empty_prompt": False})
    networks = Networks()
    Pipeline(Artifact(demo.root, encoded), networks)("a boat", **SMALL)
    assert networks.feeds[0]["text_embeds"][0].any()


def test_several_images_have_a_row_each_negative_ones_first(demo: Artifact) -> None:
    feeds = fed(demo, num_images_per_prompt=2, negative_original_size=(7, 9))
    assert feeds["text_embeds"].shape == (4, POOLED)
    np.testing.assert_array_equal(feeds["time_ids"][:, 0], [7, 7, 80, 80])


def test_a_picture_is_told_its_own_size_unless_something_else(demo: Artifact) -> None:
    np.testing.assert_array_equal(fed(demo)["time_ids"], [[80, 64, 0, 0, 80, 64]] * 2)
    options: dict[str, Any] = {"original_size": (50, 40), "crops_coords_top_left": [2, 1]}
    np.testing.assert_array_equal(fed(demo, **options)["time_ids"], [[50, 40, 2, 1, 80, 64]] * 2)
    options = {
        **options,
        "negative_target_size": (30, 20),
        "negative_crops_coords_top_left": (0, 0),
    }
    np.testing.assert_array_equal(
        fed(demo, **options)["time_ids"], [[50, 40, 0, 0, 30, 20], [50, 40, 2, 1, 80, 64]]
    )


def test_a_guided_step_in_halves_is_fed_the_same(demo: Artifact) -> None:
    networks = Networks()
    options: dict[str, Any] = {"guidance_split": True, "negative_original_size": (7, 9)}
    Pipeline(xl(demo), networks)("a boat", **SMALL, **options)
    negative, positive = networks.feeds
    assert (negative["time_ids"][0, 0], positive["time_ids"][0, 0]) == (7, 80)
    assert positive["text_embeds"].any()
    assert not negative["text_embeds"].any()


def test_both_text_encoders_are_released(demo: Artifact) -> None:
    pipe = Pipeline(xl(demo), Networks())
    pipe("a boat", **SMALL)
    assert pipe.loaded == {"unet", "vae_decoder"}


def test_a_framing_is_one_row_of_numbers() -> None:
    np.testing.assert_array_equal(
        SizeConditioning((1, 2), (3, 4), (5, 6)).row, [[1, 2, 3, 4, 5, 6]]
    )


def test_the_manifest_names_zeros_only_where_it_has_them(demo: Artifact) -> None:
    made = xl(demo).manifest
    assert Manifest.model_validate_json(made.to_json()) == made
    assert '"zeros_for_empty_prompt": true' in made.to_json()
    assert "zeros_for_empty_prompt" not in demo.manifest.to_json()


def test_golden_vectors_are_not_of_this_family(demo: Artifact) -> None:
    from pathlib import Path

    from sdrt.diagnostics.conformance.recorder import GoldenPlan, record

    with pytest.raises(UnsupportedError, match="golden vectors are of models with one text"):
        record(Pipeline(xl(demo), Networks()), Path("never-written"), GoldenPlan())
