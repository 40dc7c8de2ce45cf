"""NaN and infinity: named by network, place and precision, and made good in fp32."""

import weakref
from typing import Any

import numpy as np
import pytest

from sdrt.artifact import Artifact
from sdrt.backends import Network
from sdrt.backends.executed import Retry
from sdrt.backends.fake import FakeBackend, FakeGraph, Fault
from sdrt.errors import ArtifactError, CancelledError, NonFiniteError
from sdrt.generation.run import Run
from sdrt.pipeline import Pipeline
from tests.runtime.fakes import pretend_demo

NAN, INF = np.nan, np.inf
SMALL: dict[str, Any] = {"width": 64, "height": 64, "num_inference_steps": 5, "seed": 4}
HEUN = {"sampler": "heun"}
THREE = {"num_images_per_prompt": 3}

# A fault, the options of the run, and where it shows.
FAULTS = [
    (Fault("text_encoder"), {}, "prompt"),
    (Fault("text_encoder", 1, INF, (0, 5, 7), "last_hidden_state"), {}, "negative prompt"),
    (Fault("text_encoder", 0, -INF, (0, 1), "layer_states"), {"clip_skip": 2}, "prompt"),
    (Fault("unet", 0, NAN), {}, "step 1 of 5"),
    (Fault("unet", 0, INF, (0, 0, 0, 0)), {}, "step 1 of 5"),
    (Fault("unet", 2, -INF, (1, 3, 7, 7)), {}, "step 3 of 5"),
    (Fault("unet", 2, NAN, (0,)), THREE, "step 3 of 5"),
    (Fault("unet", 2, NAN, (slice(1, 2),)), {"guidance_scale": 1.0, **THREE}, "step 3 of 5"),
    (Fault("unet", 4, NAN), {}, "step 5 of 5"),
    (Fault("unet", 4, -INF), {"sampler": "euler_a"}, "step 5 of 5"),
    (Fault("unet", 3, INF), {"guidance_split": True}, "step 2 of 5"),
    (Fault("unet", 5, NAN, (..., 0)), HEUN, "step 3 of 5"),
    (Fault("vae_decoder", 0, NAN, (0, 0, 0, 0)), {}, "image 1 of 1"),
    (Fault("vae_decoder", 1, INF), THREE, "image 2 of 3"),
    (Fault("vae_decoder", 2, -INF, (0, 2)), THREE, "image 3 of 3"),
]


def pictures(pipe: Pipeline, **options: Any) -> list[np.ndarray]:
    return [np.asarray(image) for image in pipe("a boat", **{**SMALL, **options}).images]


@pytest.mark.parametrize(("fault", "options", "place"), FAULTS)
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_fault_is_named_by_network_place_and_precision(
    demo: Artifact, fault: Fault, options: dict[str, Any], place: str, precision: Any
) -> None:
    fake = FakeBackend(pretend_demo, precision=precision, faults=[fault])
    pipe = Pipeline(demo, fake, retry_precision=False)
    message = (
        rf"^{place}: {fault.network} gave NaN or infinity in '\w+' \(\d+ of \d+ values\), "
        rf"executed in {precision}; .* --precision fp32, or --retry-precision$"
    )
    with pytest.raises(NonFiniteError, match=message):
        pipe("a boat", **{**SMALL, **options})


@pytest.mark.parametrize(("fault", "options", "place"), FAULTS)
def test_a_network_that_fails_in_bf16_goes_on_in_fp32(
    demo: Artifact, fault: Fault, options: dict[str, Any], place: str
) -> None:
    fake = FakeBackend(pretend_demo, precision="bf16", faults=[fault])
    pipe, sound = Pipeline(demo, fake), Pipeline(demo, FakeBackend(pretend_demo, precision="bf16"))
    result = pipe("a boat", **{**SMALL, **options})
    for found, expected in zip(result.images, pictures(sound, **options), strict=True):
        np.testing.assert_array_equal(np.asarray(found), expected)
    assert result.warnings == [
        f"{place}: {fault.network} gave NaN or infinity in bf16 and went on in fp32"
    ]
    for name, record in result.networks.items():
        failed = name == fault.network
        assert record.executed == ("fp32" if failed else "bf16")
        assert record.retried == (Retry("bf16", place) if failed else None)
    assert fake.opened.count(fault.network) == 2


def test_the_next_run_begins_in_the_precision_that_was_asked_for(demo: Artifact) -> None:
    faults = [Fault("unet", 1), Fault("vae_decoder")]
    pipe = Pipeline(demo, FakeBackend(pretend_demo, precision="bf16", faults=faults))
    first, second = (pipe("a boat", **SMALL) for _ in range(2))
    assert [record.executed for record in first.networks.values()] == ["bf16", "fp32", "fp32"]
    assert {record.executed for record in second.networks.values()} == {"bf16"}
    assert second.warnings == []


def test_a_network_fails_once_in_a_run(demo: Artifact) -> None:
    """After the first failure it stays in fp32, where these faults do not show."""
    faults = [Fault("unet", call) for call in range(1, 9)]
    pipe = Pipeline(demo, FakeBackend(pretend_demo, precision="bf16", faults=faults))
    result = pipe("a boat", **SMALL)
    assert len(result.warnings) == 1
    assert result.networks["unet"].retried == Retry("bf16", "step 2 of 5")


def test_failing_in_fp32_too_is_an_error_that_names_both(demo: Artifact) -> None:
    both = ("bf16", "fp32")
    faults = [Fault("unet", call, precisions=both) for call in (2, 3)]
    pipe = Pipeline(demo, FakeBackend(pretend_demo, precision="bf16", faults=faults))
    message = r"^step 3 of 5: unet .* executed in fp32; .*; it gave them in bf16 before$"
    with pytest.raises(NonFiniteError, match=message):
        pipe("a boat", **SMALL)


def test_fp32_is_not_tried_twice(demo: Artifact) -> None:
    fault = Fault("vae_decoder", precisions=("fp32",))
    fake = FakeBackend(pretend_demo, precision="fp32", faults=[fault])
    with pytest.raises(NonFiniteError, match="image 1 of 1: vae_decoder .* executed in fp32"):
        Pipeline(demo, fake)("a boat", **SMALL)
    assert fake.opened.count("vae_decoder") == 1


def test_a_network_that_is_given_nan_is_not_blamed(demo: Artifact) -> None:
    fake = FakeBackend(pretend_demo, precision="bf16")
    with pytest.raises(NonFiniteError, match="it was given them in 'latent_sample'"):
        Pipeline(demo, fake).decode(np.full((1, 4, 8, 8), np.nan, np.float32))
    assert fake.opened == ["vae_decoder"]


def test_the_failed_network_leaves_memory_before_the_other_comes(demo: Artifact) -> None:
    graphs: list[weakref.ref[FakeGraph]] = []

    class Watching(FakeBackend):
        def open(self, network: Network) -> FakeGraph:
            if network.name == "unet":
                assert [graph() for graph in graphs] == [None] * len(graphs)
            graph = super().open(network)
            if network.name == "unet":
                graphs.append(weakref.ref(graph))
            return graph

    backend = Watching(pretend_demo, precision="bf16", faults=[Fault("unet", 2)])
    Pipeline(demo, backend)("a boat", **SMALL)
    assert len(graphs) == 2


def test_a_run_can_be_cancelled_while_a_network_is_opened_again(demo: Artifact) -> None:
    runs: list[Run] = []

    class Cancelling(FakeBackend):
        def open(self, network: Network) -> FakeGraph:
            if self.precision == "fp32":
                runs[0].cancel()
            return super().open(network)

    fake = Cancelling(pretend_demo, precision="bf16", faults=[Fault("unet", 2)])
    pipe = Pipeline(demo, fake, keep=())
    runs.append(pipe.start("a boat", **SMALL))
    with pytest.raises(CancelledError, match="step 3 of 5: the run was cancelled"):
        runs[0].result()
    assert fake.ran.count("unet") == 3
    assert pipe.loaded == set()


def test_infinities_of_both_signs_do_not_hide_each_other(demo: Artifact) -> None:
    fake = FakeBackend(
        pretend_demo,
        precision="fp32",
        faults=[
            Fault("unet", 0, INF, (0, 0, 0, 0), precisions=("fp32",)),
            Fault("unet", 0, -INF, (0, 0, 0, 1), precisions=("fp32",)),
        ],
    )
    with pytest.raises(NonFiniteError, match=r"\(2 of 512 values\)"):
        Pipeline(demo, fake)("a boat", **SMALL)


def test_large_finite_values_pass(demo: Artifact) -> None:
    largest = float(np.finfo(np.float32).max)
    fault = Fault("vae_decoder", 0, largest, precisions=("fp32",))
    Pipeline(demo, FakeBackend(pretend_demo, precision="fp32", faults=[fault]))("a boat", **SMALL)


@pytest.mark.parametrize("shape", [("batch", 4, "height"), ("batch", 4, 2**70, "width")])
def test_a_manifest_with_a_shape_that_no_run_has_is_a_typed_error(
    demo: Artifact, shape: tuple[str | int, ...]
) -> None:
    unet = demo.manifest.graphs["unet"]
    sample = unet.inputs[0].model_copy(update={"shape": shape})
    changed = unet.model_copy(update={"inputs": (sample, *unet.inputs[1:])})
    graphs = {**demo.manifest.graphs, "unet": changed}
    artifact = Artifact(demo.root, demo.manifest.model_copy(update={"graphs": graphs}))
    with pytest.raises(ArtifactError, match="unet takes sample as .*, and here it is"):
        Pipeline(artifact, FakeBackend(pretend_demo))("x", **SMALL)
