"""A time embedding's waves are computed in fp32, whatever the rest of the U-Net is executed in."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13

import sdrt
from sdrt.artifact import Artifact, open_artifact
from sdrt.backends import Array, open_backend
from sdrt.backends.waves import cut_waves
from sdrt.machine import has_bf16
from sdrt.measure import snr_db
from sdrt.verify import seeded_feeds

F32 = {"INFERENCE_PRECISION_HINT": "f32"}
TIMESTEPS = (1, 21, 250, 500, 701, 901, 981.5, 999)


def run(core: ov.Core, model: ov.Model, feeds: Mapping[str, Array]) -> Array:
    request = core.compile_model(model, "CPU", F32).create_infer_request()
    found: Array = next(iter(request.infer(dict(feeds)).values())).copy()
    return found


def read(core: ov.Core, artifact: Artifact, format: str, feeds: Mapping[str, Array]) -> ov.Model:
    (graph, *_) = artifact.network("unet", (format,)).files  # type: ignore[arg-type]
    model = core.read_model(graph)
    model.reshape({name: ov.PartialShape(list(a.shape)) for name, a in feeds.items()})
    return model


@pytest.mark.parametrize("format", ["onnx", "openvino"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_cut_network_computes_the_same(
    tiny_exports: dict[str, Path], format: str, precision: str
) -> None:
    artifact, core = open_artifact(tiny_exports[precision]), ov.Core()
    feeds = seeded_feeds(artifact, "unet")
    expected = run(core, read(core, artifact, format, feeds), feeds)
    model = read(core, artifact, format, feeds)
    waves = cut_waves(core, model)
    assert waves
    assert waves.replaced == {"timestep"}
    for timestep in TIMESTEPS:
        feeds["timestep"] = np.array(timestep, np.float32)
        expected = run(core, read(core, artifact, format, feeds), feeds)
        found = run(core, model, waves.complete(feeds))
        assert snr_db(expected, found) > 100


def small_model(shape: list[int]) -> ov.Model:
    """An input, its sine, and a layer."""
    x = opset13.parameter(shape, np.float32, "x")
    x.output(0).set_names({"x"})
    weights = opset13.constant(np.eye(shape[-1], dtype=np.float32))
    layer = opset13.matmul(opset13.sin(x), weights, False, False)
    return ov.Model([opset13.result(layer)], [x], "small")


def test_waves_of_small_inputs_are_cut() -> None:
    core, model = ov.Core(), small_model([2, 3])
    feeds = {"x": np.linspace(0, 999, 6, dtype=np.float32).reshape(2, 3)}
    waves = cut_waves(core, model)
    assert waves
    assert [one.get_any_name() for one in model.inputs] == list(waves.names)
    np.testing.assert_allclose(run(core, model, waves.complete(feeds)), np.sin(feeds["x"]), 1e-4)


def test_sines_of_pictures_are_not_waves_of_time() -> None:
    model = small_model([1, 4, 8, 8])
    assert cut_waves(ov.Core(), model) is None
    assert [one.get_any_name() for one in model.inputs] == ["x"]


def test_networks_without_waves_are_left_alone(tiny: Artifact) -> None:
    core, feeds = ov.Core(), seeded_feeds(tiny, "vae_decoder")
    (graph, *_) = tiny.network("vae_decoder", ("openvino",)).files
    model = core.read_model(graph)
    model.reshape({name: ov.PartialShape(list(a.shape)) for name, a in feeds.items()})
    assert cut_waves(core, model) is None


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16 arithmetic")
def test_bf16_is_as_near_to_fp32_at_every_timestep(demo: Artifact) -> None:
    states = sdrt.load(backend="openvino", precision="fp32").encode("a red boat on the sea")
    noise = np.random.default_rng(0).standard_normal((1, 4, 16, 16), np.float32)
    feeds = {"sample": noise, "encoder_hidden_states": states}
    graphs = [
        backend.open(demo.network("unet", backend.formats))
        for backend in (open_backend("openvino", precision=p) for p in ("fp32", "bf16"))
    ]
    found = []
    for timestep in TIMESTEPS:
        feeds["timestep"] = np.array(timestep, np.float32)
        found.append(snr_db(*(graph.run(feeds)["out_sample"] for graph in graphs)))
    assert graphs[1].precision == "bf16"
    assert min(found) >= 38
