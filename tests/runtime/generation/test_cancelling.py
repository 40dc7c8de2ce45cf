"""Runs that are cancelled: before they begin, between steps, and inside of any network."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.errors import CancelledError
from sdrt.generation.run import Run
from sdrt.pipeline import Pipeline
from tests.runtime.fakes import SMALL, pixels, pretend_tiny


def cancelling(network: str, call: int, runs: list[Run]) -> Callable[..., Mapping[str, Array]]:
    """Networks of which one is cancelled while it runs, from another thread."""
    calls = iter(range(100))

    def compute(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name == network and runs and next(calls) == call:
            asking = threading.Thread(target=runs.pop().cancel)
            asking.start()
            asking.join()
        return pretend_tiny(name, feeds)

    return compute


@pytest.mark.parametrize(
    ("network", "call", "message", "ran"),
    [
        ("text_encoder", 0, "text_encoder was cancelled", ["text_encoder"]),
        ("unet", 1, "step 2 of 3: unet was cancelled", ["text_encoder"] * 2 + ["unet"] * 2),
        (
            "vae_decoder",
            1,
            "vae_decoder was cancelled",
            ["text_encoder"] * 2 + ["unet"] * 3 + ["vae_decoder"] * 2,
        ),
    ],
)
def test_whatever_network_runs_cancelling_stops_it(
    tiny: Artifact, network: str, call: int, message: str, ran: list[str]
) -> None:
    runs: list[Run] = []
    fake = FakeBackend(cancelling(network, call, runs))
    pipe = Pipeline(tiny, fake, keep=())
    run = pipe.start("a boat", seed=4, num_images_per_prompt=3, **SMALL)
    runs.append(run)
    with pytest.raises(CancelledError, match=message):
        run.result()
    assert fake.ran == ran
    assert pipe.loaded == set()  # what was not to be kept is not
    with pytest.raises(CancelledError, match="the run was cancelled"):
        run.result()
    again = pipe("a boat", seed=4, num_images_per_prompt=3, **SMALL)
    assert len(again.images) == 3


def test_a_run_can_be_cancelled_before_it_begins_and_between_steps(
    pipe: Pipeline, fake: FakeBackend
) -> None:
    run = pipe.start("a boat", **SMALL)
    run.cancel()
    with pytest.raises(CancelledError):
        run.result()
    assert fake.opened == []
    run = pipe.start("a boat", **SMALL)
    steps = iter(run)
    next(steps)
    run.cancel()
    with pytest.raises(CancelledError, match="step 2 of 3"):
        next(steps)
    assert fake.ran.count("unet") == 1


def test_cancelling_a_finished_run_harms_nobody(pipe: Pipeline) -> None:
    run = pipe.start("a boat", seed=2, **SMALL)
    before = run.result()
    run.cancel()
    after = pipe("a boat", seed=2, **SMALL)
    np.testing.assert_array_equal(pixels(before.images[0]), pixels(after.images[0]))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_real_step_can_be_cancelled_and_the_networks_stay_good(backend: str) -> None:
    pipe = sdrt.load(backend=backend, precision="fp32", threads=1)
    small: dict[str, Any] = {"seed": 6, "num_inference_steps": 2}
    before = pipe("a cat", **small)
    run = pipe.start("a cat", width=512, height=512, num_inference_steps=3)
    steps = iter(run)
    first = next(steps)
    # Inside of the next step, which takes about as long as the first.
    threading.Timer(first.seconds / 4, run.cancel).start()
    with pytest.raises(CancelledError, match="step 2 of 3: unet was cancelled"):
        next(steps)
    after = pipe("a cat", **small)
    np.testing.assert_array_equal(pixels(after.images[0]), pixels(before.images[0]))
