"""Runs in which some evaluations of the U-Net use deep features of an earlier one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend, Fault
from sdrt.backends.feature_cut import FEATURES
from sdrt.errors import UnsupportedError, UsageError
from sdrt.generation.result import Result
from sdrt.pipeline import Pipeline, load
from tests.runtime.fakes import SMALL, pixels, pretend_tiny

SIX: dict[str, Any] = {**SMALL, "num_inference_steps": 6, "sampler": "euler", "seed": 4}


class Halves:
    """A U-Net whose deep features are its sample and prompt; the last layers add a tenth of noise.

    It keeps what it was fed.
    """

    def __init__(self) -> None:
        self.ran: list[tuple[str, int]] = []

    def __call__(self, name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if not name.startswith("unet"):
            return pretend_tiny(name, feeds)
        self.ran.append((name, len(feeds["sample"])))
        deep = feeds.get(FEATURES)
        if deep is None:
            deep = pretend_tiny("unet", feeds)["out_sample"]
        return {"out_sample": deep + feeds["sample"] / 10, FEATURES: deep}


def run(tiny: Artifact, **options: Any) -> tuple[list[tuple[str, int]], Result]:
    halves = Halves()
    result = Pipeline(tiny, FakeBackend(halves))("a boat", **{**SIX, **options})
    return halves.ran, result


def test_every_nth_evaluation_is_whole(tiny: Artifact) -> None:
    ran, result = run(tiny, cache_interval=3)
    assert ran == [("unet", 2), ("unet_shallow", 2), ("unet_shallow", 2)] * 2
    (parameters,) = result.parameters
    assert parameters.evaluations == {"whole": 2, "shallow": 4, "unguided": 0}
    assert (parameters.cache_interval, parameters.cache_depth) == (3, 0)
    assert {"unet", "unet_shallow"} <= parameters.networks.keys()


def test_without_an_interval_nothing_is_reused(tiny: Artifact) -> None:
    ran, result = run(tiny)
    assert ran == [("unet", 2)] * 6
    assert result.parameters[0].evaluations == {"whole": 6, "shallow": 0, "unguided": 0}
    assert "unet_shallow" not in result.parameters[0].networks
    again, same = run(tiny, cache_interval=1)
    assert again == ran
    np.testing.assert_array_equal(pixels(same.images[0]), pixels(result.images[0]))


def test_a_branch_without_features_makes_the_evaluation_whole(tiny: Artifact) -> None:
    """Guidance that begins on the way has no features of the negative prompt yet."""
    ran, result = run(tiny, cache_interval=6, guidance_start=0.34, guidance_end=0.7)
    shallow = ("unet_shallow", 1)
    assert ran == [("unet", 1), shallow, shallow, ("unet", 2), ("unet_shallow", 2), shallow]
    assert result.parameters[0].evaluations == {"whole": 2, "shallow": 4, "unguided": 4}


def test_branches_keep_their_own_features(tiny: Artifact) -> None:
    """Whether they run as one batch or one after the other, and with several images."""
    options: dict[str, Any] = {
        "cache_interval": 2,
        "negative_prompt": "fog",
        "num_images_per_prompt": 2,
    }
    together, expected = run(tiny, **options)
    split, made = run(tiny, guidance_split=True, **options)
    assert together[:2] == [("unet", 4), ("unet_shallow", 4)]
    assert split[:4] == [("unet", 2)] * 2 + [("unet_shallow", 2)] * 2
    for one, other in zip(expected.images, made.images, strict=True):
        np.testing.assert_array_equal(pixels(one), pixels(other))


def test_samplers_that_ask_twice_a_step_count_evaluations(tiny: Artifact) -> None:
    ran, result = run(tiny, cache_interval=2, sampler="heun", num_inference_steps=2)
    assert [name for name, _ in ran] == ["unet", "unet_shallow", "unet"]
    assert result.parameters[0].evaluations == {"whole": 2, "shallow": 1, "unguided": 0}


def test_a_second_pass_begins_with_a_whole_evaluation(tiny: Artifact) -> None:
    """Six evaluations of the first pass and three of the second."""
    pipe = load(tiny.root, backend="onnxruntime")
    result = pipe("a boat", cache_interval=4, hires=2.0, hires_strength=0.5, **SIX)
    assert result.parameters[0].evaluations == {"whole": 2 + 1, "shallow": 4 + 2, "unguided": 0}


def test_the_shallow_network_falls_back_by_itself(tiny: Artifact) -> None:
    backend = FakeBackend(
        Halves(), precision="bf16", faults=[Fault("unet_shallow", output="out_sample")]
    )
    result = Pipeline(tiny, backend)("a boat", cache_interval=2, **SIX)
    assert any("unet_shallow gave NaN or infinity in bf16" in text for text in result.warnings)
    networks = result.networks
    assert (networks["unet"].executed, networks["unet_shallow"].executed) == ("bf16", "fp32")


def test_it_is_released_with_the_network_that_it_is_made_of(tiny: Artifact) -> None:
    pipe = Pipeline(tiny, FakeBackend(Halves()))
    pipe("a boat", cache_interval=2, **SIX)
    assert {"unet", "unet_shallow"} <= pipe.loaded
    pipe.release("unet")
    assert not {"unet", "unet_shallow"} & pipe.loaded
    frugal = Pipeline(tiny, FakeBackend(Halves()), keep=())
    frugal("a boat", cache_interval=2, **SIX)
    assert not frugal.loaded


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cache_interval": 0}, "cache_interval is 0; expected a whole number from 1 to 6"),
        ({"cache_interval": 7}, "cache_interval is 7; expected a whole number from 1 to 6"),
        ({"cache_interval": 1.5}, "cache_interval is 1.5; expected a whole number"),
        ({"cache_interval": 2, "cache_depth": -1}, "cache_depth is -1"),
    ],
)
def test_what_cannot_be_is_refused(tiny: Artifact, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(tiny, **options)


def test_a_depth_without_an_interval_is_said_to_have_no_effect(tiny: Artifact) -> None:
    _, result = run(tiny, cache_depth=1)
    assert result.warnings == [
        "without effect: cache_depth, because with cache_interval 1 no features are kept"
    ]


def test_the_tiny_model_reuses_features(tiny: Artifact) -> None:
    """Pictures differ from those of whole evaluations, the less the deeper features are kept."""
    pipe = load(tiny.root, backend="onnxruntime")
    exact = pipe.start("a boat", **SIX).latents()
    errors = [
        float(
            np.abs(
                pipe.start("a boat", cache_interval=2, cache_depth=depth, **SIX).latents() - exact
            ).mean()
        )
        for depth in (0, 3)
    ]
    assert 0 < errors[1] < errors[0] < 0.5
    again = pipe.start("a boat", **SIX).latents()
    np.testing.assert_array_equal(again, exact)
    with pytest.raises(UnsupportedError, match="unet cannot be cut at depth 4"):
        pipe("a boat", cache_interval=2, cache_depth=4, **SIX)
