"""A U-Net with the residuals of a ControlNet as inputs."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sdrt.arrays import Array, snr_db
from sdrt.artifact import Artifact, open_artifact
from sdrt.backends import Backend, Network, open_backend
from sdrt.backends.feature_cut import FEATURES, FeatureCut
from sdrt.backends.residuals import residual_names
from sdrt.diagnostics.verify import seeded_feeds
from sdrt.errors import UnsupportedError

ENGINES = ("openvino", "onnxruntime")
SHAPES = ((8, 8, 8), (8, 8, 8), (8, 4, 4), (16, 4, 4), (16, 4, 4))  # of the tiny model at 64x64
NAMES = residual_names(len(SHAPES))


@pytest.fixture(params=ENGINES)
def backend(request: pytest.FixtureRequest) -> Backend:
    return open_backend(request.param, precision="fp32")


@pytest.fixture
def residuals() -> dict[str, Array]:
    rng = np.random.default_rng(0)
    shapes = zip(NAMES, SHAPES, strict=True)
    return {name: rng.standard_normal((1, *shape), np.float32) for name, shape in shapes}


def controlled(network: Network, cut: FeatureCut | None = None) -> Network:
    return replace(network, residuals=NAMES, cut=cut)


def answer(backend: Backend, network: Network, feeds: Mapping[str, Array]) -> Array:
    return backend.open(network).run(feeds)["out_sample"]


def test_zeros_change_nothing_and_each_residual_something(
    tiny: Artifact, backend: Backend, residuals: dict[str, Array]
) -> None:
    network, feeds = tiny.network("unet", backend.formats), seeded_feeds(tiny, "unet")
    plain = answer(backend, network, feeds)
    graph = backend.open(controlled(network))
    zeros = {name: np.zeros_like(array) for name, array in residuals.items()}
    assert snr_db(plain, graph.run({**feeds, **zeros})["out_sample"]) > 100
    for name in NAMES:
        changed = graph.run({**feeds, **zeros, name: residuals[name]})["out_sample"]
        assert snr_db(plain, changed) < 60, name


@pytest.mark.parametrize("format", ["onnx", "openvino"])
@pytest.mark.parametrize("stored", ["fp32", "bf16"])
def test_engines_formats_and_precisions_agree(
    tiny_exports: dict[str, Path], residuals: dict[str, Array], stored: str, format: str
) -> None:
    artifact = open_artifact(tiny_exports[stored])
    feeds = {**seeded_feeds(artifact, "unet"), **residuals}
    one, other = (open_backend(name, precision="fp32") for name in ENGINES)
    expected = answer(other, controlled(artifact.network("unet", ("onnx",))), feeds)
    network = artifact.network("unet", (format,))  # type: ignore[arg-type]
    assert snr_db(expected, answer(one, controlled(network), feeds)) > 100


@pytest.mark.parametrize("depth", [0, 3])
def test_both_forms_of_cached_features_take_residuals(
    tiny: Artifact, backend: Backend, residuals: dict[str, Array], depth: int
) -> None:
    network = tiny.network("unet", backend.formats)
    feeds = {**seeded_feeds(tiny, "unet"), **residuals}
    expected = answer(backend, controlled(network), feeds)
    whole = backend.open(controlled(network, FeatureCut("whole", depth))).run(feeds)
    assert snr_db(expected, whole["out_sample"]) > 100
    shallow = controlled(network, FeatureCut("shallow", depth))
    features = {FEATURES: whole[FEATURES]}
    assert snr_db(expected, answer(backend, shallow, {**feeds, **features})) > 100
    first = {NAMES[0]: residuals[NAMES[0]] * 2}  # the skip connection next to the output
    assert snr_db(expected, answer(backend, shallow, {**feeds, **features, **first})) < 60


def test_what_is_no_unet_of_the_family_is_refused(tiny: Artifact, backend: Backend) -> None:
    unet, decoder = (tiny.network(name, backend.formats) for name in ("unet", "vae_decoder"))
    cases = (
        (replace(unet, residuals=residual_names(4)), "takes 5 results .* this one makes 4"),
        (replace(decoder, residuals=NAMES), "has no place"),
    )
    for network, message in cases:
        with pytest.raises(UnsupportedError, match=message):
            backend.open(network).prepare(
                {name: array.shape for name, array in seeded_feeds(tiny, network.name).items()}
            )
