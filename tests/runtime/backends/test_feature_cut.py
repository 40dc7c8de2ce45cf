"""A U-Net as a whole that gives its deep features, and its last layers that take them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sdrt.arrays import Array, snr_db
from sdrt.artifact import Artifact, open_artifact
from sdrt.backends import Backend, Network, open_backend
from sdrt.backends.feature_cut import FEATURES, FeatureCut
from sdrt.diagnostics.verify import seeded_feeds
from sdrt.errors import UnsupportedError

ENGINES = ("openvino", "onnxruntime")
SKIPS = 4  # of the tiny model's U-Net


@pytest.fixture(params=ENGINES)
def backend(request: pytest.FixtureRequest) -> Backend:
    return open_backend(request.param, precision="fp32")


def whole_and_shallow(
    backend: Backend, network: Network, depth: int, feeds: Mapping[str, Array]
) -> tuple[dict[str, Array], Array]:
    """What the whole form gives, and what the shallow one makes of its features."""
    whole = backend.open(replace(network, cut=FeatureCut("whole", depth))).run(feeds)
    shallow = backend.open(replace(network, cut=FeatureCut("shallow", depth)))
    return whole, shallow.run({**feeds, FEATURES: whole[FEATURES]})["out_sample"]


@pytest.mark.parametrize("depth", range(SKIPS))
def test_both_forms_answer_like_the_network(tiny: Artifact, backend: Backend, depth: int) -> None:
    network, feeds = tiny.network("unet", backend.formats), seeded_feeds(tiny, "unet")
    expected = backend.open(network).run(feeds)["out_sample"]
    whole, shallow = whole_and_shallow(backend, network, depth, feeds)
    assert whole.keys() == {"out_sample", FEATURES}
    assert snr_db(expected, whole["out_sample"]) > 100
    assert snr_db(expected, shallow) > 100


@pytest.mark.parametrize("format", ["onnx", "openvino"])
@pytest.mark.parametrize("stored", ["fp32", "bf16"])
def test_so_they_do_in_each_format_and_precision(
    tiny_exports: dict[str, Path], stored: str, format: str
) -> None:
    artifact, backend = open_artifact(tiny_exports[stored]), open_backend("openvino")
    network = artifact.network("unet", (format,))  # type: ignore[arg-type]
    feeds = seeded_feeds(artifact, "unet")
    expected = backend.open(network).run(feeds)["out_sample"]
    whole, shallow = whole_and_shallow(backend, network, 0, feeds)
    assert snr_db(expected, whole["out_sample"]) > 60
    assert snr_db(expected, shallow) > (60 if backend.in_fp32(network) is None else 40)


def test_the_shallow_form_depends_on_its_features_and_its_latents(
    tiny: Artifact, backend: Backend
) -> None:
    network, feeds = tiny.network("unet", backend.formats), seeded_feeds(tiny, "unet")
    whole = backend.open(replace(network, cut=FeatureCut("whole"))).run(feeds)
    shallow = backend.open(replace(network, cut=FeatureCut("shallow")))
    features = {FEATURES: whole[FEATURES]}
    expected = shallow.run({**feeds, **features})["out_sample"]
    others = (
        {**feeds, FEATURES: features[FEATURES] * 2},
        {**feeds, **features, "sample": -feeds["sample"]},
    )
    for other in others:
        assert snr_db(expected, shallow.run(other)["out_sample"]) < 30


def test_patches_change_the_weights_of_both_forms(tiny: Artifact, backend: Backend) -> None:
    """Of a layer that both have, and of one that only the whole has."""
    feeds = seeded_feeds(tiny, "unet")
    layers = ("conv_out", "mid_block.resnets.0.conv1")
    network = tiny.network("unet", backend.formats)
    before, _ = whole_and_shallow(backend, network, 0, feeds)
    patched = replace(
        network, weight_patches={layer: lambda weight: weight * 2 for layer in layers}
    )
    expected = backend.open(patched).run(feeds)["out_sample"]
    whole, shallow = whole_and_shallow(backend, patched, 0, feeds)
    assert snr_db(expected, whole["out_sample"]) > 100
    assert snr_db(expected, shallow) > 100
    assert snr_db(before["out_sample"], expected) < 30
    assert snr_db(before[FEATURES], whole[FEATURES]) < 60


@pytest.mark.parametrize("form", ["whole", "shallow"])
def test_a_cut_needs_a_skip_connection(tiny: Artifact, backend: Backend, form: str) -> None:
    unet, decoder = (tiny.network(name, backend.formats) for name in ("unet", "vae_decoder"))
    cases = (
        (unet, SKIPS, f"it has {SKIPS} places .* below {SKIPS}"),
        (decoder, 0, "it has 0 places .* leave"),
    )
    for network, depth, message in cases:
        cut = FeatureCut(form, depth)  # type: ignore[arg-type]
        with pytest.raises(UnsupportedError, match=message):
            backend.open(replace(network, cut=cut)).prepare(
                {name: array.shape for name, array in seeded_feeds(tiny, network.name).items()}
            )


def test_features_are_an_input_of_the_shallow_form_alone(tiny: Artifact, backend: Backend) -> None:
    network, feeds = tiny.network("unet", backend.formats), seeded_feeds(tiny, "unet")
    shallow = backend.open(replace(network, cut=FeatureCut("shallow")))
    with pytest.raises(ValueError, match=f"takes .*{FEATURES}"):
        shallow.run(feeds)
    with pytest.raises(ValueError, match="unet takes"):
        backend.open(network).run({**feeds, FEATURES: np.zeros((1, 16, 8, 8), np.float32)})
