"""A network's first and last layers are computed in fp32, whatever the rest is executed in."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13

import sdrt
from sdrt.arrays import Array, snr_db
from sdrt.artifact import Artifact, open_artifact
from sdrt.backends import open_backend
from sdrt.backends.openvino.fp32_layers import Fp32Suffix, cut_prefix, cut_suffix
from sdrt.diagnostics.verify import seeded_feeds
from sdrt.machine import has_bf16

F32 = {"INFERENCE_PRECISION_HINT": "f32"}
TIMESTEPS = (1, 21, 250, 500, 701, 901, 981.5, 999)


def compiled(core: ov.Core, model: ov.Model) -> ov.InferRequest:
    return core.compile_model(model, "CPU", F32).create_infer_request()


def run(
    request: ov.InferRequest, feeds: Mapping[str, Array], suffix: Fp32Suffix | None = None
) -> Array:
    output: Array = next(iter(request.infer(dict(feeds)).values())).copy()
    if suffix is None:
        return output
    suffix.infer(request)
    return suffix.output()


def read(core: ov.Core, artifact: Artifact, format: str, feeds: Mapping[str, Array]) -> ov.Model:
    (graph, *_) = artifact.network("unet", (format,)).files  # type: ignore[arg-type]
    model = core.read_model(graph)
    model.reshape({name: ov.PartialShape(list(a.shape)) for name, a in feeds.items()})
    return model


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "openvino"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_cut_network_computes_the_same(
    tiny_exports: dict[str, Path], format: str, precision: str
) -> None:
    artifact, core = open_artifact(tiny_exports[precision]), ov.Core()
    feeds = seeded_feeds(artifact, "unet")
    model = read(core, artifact, format, feeds)
    prefix, suffix = cut_prefix(core, model), cut_suffix(core, model)
    assert prefix
    assert suffix
    assert "timestep" in prefix.replaced
    assert suffix.names >= {"out_sample"}
    whole, cut = compiled(core, read(core, artifact, format, feeds)), compiled(core, model)
    for timestep in TIMESTEPS:
        feeds["timestep"] = np.array(timestep, np.float32)
        assert snr_db(run(whole, feeds), run(cut, prefix.complete(feeds), suffix)) > 100


def small_model(shape: list[int]) -> ov.Model:
    """An input, its sine, and a layer."""
    x = opset13.parameter(shape, np.float32, "x")
    x.output(0).set_names({"x"})
    weights = opset13.constant(np.eye(shape[-1], dtype=np.float32))
    layer = opset13.matmul(opset13.sin(x), weights, False, False)
    return ov.Model([opset13.result(layer)], [x], "small")


def test_sinusoids_of_small_inputs_are_cut() -> None:
    core, model = ov.Core(), small_model([2, 3])
    feeds = {"x": np.linspace(0, 999, 6, dtype=np.float32).reshape(2, 3)}
    prefix = cut_prefix(core, model)
    assert prefix
    assert [port.get_any_name() for port in model.inputs] == list(prefix.names)
    np.testing.assert_allclose(
        run(compiled(core, model), prefix.complete(feeds)), np.sin(feeds["x"]), 1e-4
    )


def test_sines_of_pictures_are_not_sinusoids_of_time() -> None:
    model = small_model([1, 4, 8, 8])
    assert cut_prefix(ov.Core(), model) is None
    assert [port.get_any_name() for port in model.inputs] == ["x"]


def convolutions(channels: int, is_read_twice: bool = False, weights: str = "float32") -> ov.Model:
    """Two convolutions with biases in a row, what they give squared, and two more."""
    rng = np.random.default_rng(0)

    def layer(x: ov.Node, taken: int, given: int) -> ov.Node:
        kernel: ov.Node = opset13.constant(rng.integers(-9, 9, (given, taken, 3, 3), np.int8))
        if weights == "int8":
            kernel = opset13.multiply(opset13.convert(kernel, "f32"), np.float32(0.1))
        else:
            kernel = opset13.constant(kernel.data.astype(np.float32) / 10)
        bias = opset13.constant(rng.standard_normal((1, given, 1, 1), np.float32))
        made = opset13.convolution(x, kernel, [1, 1], [1, 1], [1, 1], [1, 1])
        return opset13.add(made, bias)

    x = opset13.parameter([1, channels, 8, 8], np.float32, "x")
    x.output(0).set_names({"x"})
    second = layer(layer(x, channels, 4), 4, 4)
    last = layer(layer(opset13.multiply(second, second), 4, 4), 4, channels)
    if is_read_twice:
        last = opset13.add(last, x)
    last.output(0).set_names({"y"})
    return ov.Model([opset13.result(last)], [x], "convolutions")


def test_first_and_last_convolutions_of_latents_are_cut_off() -> None:
    core, model = ov.Core(), convolutions(4)
    feeds = {"x": np.random.default_rng(1).standard_normal((1, 4, 8, 8), np.float32)}
    prefix, suffix = cut_prefix(core, model), cut_suffix(core, model)
    assert prefix
    assert suffix
    assert prefix.replaced == {"x"}
    assert suffix.names == {"y"}
    assert not [node for node in model.get_ops() if node.get_type_name() == "Convolution"]
    expected = run(compiled(core, convolutions(4)), feeds)
    assert snr_db(expected, run(compiled(core, model), prefix.complete(feeds), suffix)) > 100


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(partial(convolutions, 3), id="eight bits are enough for a picture"),
        pytest.param(partial(convolutions, 4, True), id="others read the input too"),
        pytest.param(partial(convolutions, 4, weights="int8"), id="quantized weights"),
    ],
)
def test_other_convolutions_stay(model: Callable[[], ov.Model]) -> None:
    assert cut_prefix(ov.Core(), model()) is None
    assert cut_suffix(ov.Core(), model()) is None


def test_a_decoder_loses_its_head_only(tiny: Artifact) -> None:
    core, feeds = ov.Core(), seeded_feeds(tiny, "vae_decoder")
    (graph, *_) = tiny.network("vae_decoder", ("openvino",)).files
    model = core.read_model(graph)
    model.reshape({name: ov.PartialShape(list(a.shape)) for name, a in feeds.items()})
    assert cut_prefix(core, model)
    assert cut_suffix(core, model) is None  # what it gives is a picture


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16 arithmetic")
@pytest.mark.parametrize("network", ["unet", "vae_decoder"])
def test_latents_are_not_rounded_to_bf16(demo: Artifact, network: str) -> None:
    backend = open_backend("openvino", precision="bf16")
    graph, feeds = backend.open(demo.network(network, backend.formats)), seeded_feeds(demo, network)
    name = "sample" if network == "unet" else "latent_sample"
    rounded = (feeds[name].view(np.uint32) + 0x8000 & 0xFFFF0000).view(np.float32)
    assert np.abs(rounded / feeds[name] - 1).max() < 2**-8
    exact, other = (graph.run({**feeds, name: latents}) for latents in (feeds[name], rounded))
    output = graph.network.spec.outputs[0].name
    assert not np.array_equal(exact[output], other[output])


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16 arithmetic")
def test_bf16_is_as_near_to_fp32_at_every_timestep(demo: Artifact) -> None:
    states = sdrt.load(backend="openvino", precision="fp32").encode("a red boat on the sea")
    noise = np.random.default_rng(0).standard_normal((1, 4, 16, 16), np.float32)
    feeds = {"sample": noise, "encoder_hidden_states": states}
    graphs = [
        backend.open(demo.network("unet", backend.formats))
        for backend in (open_backend("openvino", precision=p) for p in ("fp32", "bf16"))
    ]
    ratios = []
    for timestep in TIMESTEPS:
        feeds["timestep"] = np.array(timestep, np.float32)
        ratios.append(snr_db(*(graph.run(feeds)["out_sample"] for graph in graphs)))
    assert graphs[1].executed().precision == "bf16"
    assert min(ratios) >= 48
