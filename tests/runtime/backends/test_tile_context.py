"""What norms and attention see of a whole picture: given by a network, and taken by another."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sdrt.arrays import Array, snr_db
from sdrt.artifact import Artifact, open_artifact
from sdrt.backends import Backend, Network, open_backend
from sdrt.backends.tile_context import extrapolated
from sdrt.diagnostics.verify import seeded_feeds
from sdrt.manifest import GraphSpec, TensorSpec

ENGINES = ("openvino", "onnxruntime")
NORMS = {"vae_decoder": 22, "vae_encoder": 14}
GROUPS, CHANNELS = 2, 4


@pytest.fixture(params=ENGINES)
def backend(request: pytest.FixtureRequest) -> Backend:
    return open_backend(request.param, precision="fp32")


def context_of(
    backend: Backend, network: Network, feeds: dict[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """What a network gives as it is, and its context."""
    names = backend.context(network)
    made = backend.open(network.in_role("source", names)).run(feeds)
    return {name: made.pop(name) for name in names}, made


@pytest.mark.slow
@pytest.mark.parametrize("half", NORMS)
def test_a_network_that_is_told_what_it_sees_gives_the_same(
    demo: Artifact, backend: Backend, half: str
) -> None:
    network, feeds = demo.network(half, backend.formats), seeded_feeds(demo, half)
    expected = backend.open(network).run(feeds)
    context, given = context_of(backend, network, feeds)
    assert len(context) == 2 * NORMS[half] + 2
    found = backend.open(network.in_role("consumer", tuple(context))).run({**feeds, **context})
    for name, array in expected.items():
        assert snr_db(array, given[name]) > 100
        assert snr_db(array, found[name]) > 80


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_a_network_in_the_other_format_does_too(tiny_exports: dict[str, Path], format: str) -> None:
    """As ONNX and as IR, with the weights of the tiny model."""
    artifact, backend = open_artifact(tiny_exports["fp32"]), open_backend("openvino")
    network = artifact.network("vae_decoder", (format,))  # type: ignore[arg-type]
    feeds = seeded_feeds(artifact, "vae_decoder")
    context, expected = context_of(backend, network, feeds)
    found = backend.open(network.in_role("consumer", tuple(context))).run({**feeds, **context})
    assert snr_db(expected["sample"], found["sample"]) > 80


@pytest.fixture(scope="module")
def in_steps(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """A group norm and an attention as older exporters write them: in single steps."""
    rng = np.random.default_rng(0)
    constants: dict[str, Array] = {
        "grouped": np.array([0, GROUPS, -1], np.int64),
        "ones": np.ones(GROUPS, np.float32),
        "zeros": np.zeros(GROUPS, np.float32),
        "weight": rng.standard_normal((CHANNELS, 1, 1)).astype(np.float32),
        "bias": rng.standard_normal((CHANNELS, 1, 1)).astype(np.float32),
        "tokens": np.array([0, CHANNELS, -1], np.int64),
        "query_weight": rng.standard_normal((CHANNELS, CHANNELS)).astype(np.float32),
        "scale": np.array(0.5, np.float32),
    }
    node = helper.make_node
    nodes = [
        node("Shape", ["sample"], ["size"]),
        node("Reshape", ["sample", "grouped"], ["groups"]),
        node("InstanceNormalization", ["groups", "ones", "zeros"], ["normed"], epsilon=1e-3),
        node("Reshape", ["normed", "size"], ["shaped"]),
        node("Mul", ["shaped", "weight"], ["weighted"]),
        node("Add", ["weighted", "bias"], ["biased"]),
        node("Reshape", ["biased", "tokens"], ["rows"]),
        node("Transpose", ["rows"], ["states"], perm=[0, 2, 1]),
        node("MatMul", ["states", "query_weight"], ["query"]),
        node("MatMul", ["query", "rows"], ["products"]),
        node("Mul", ["products", "scale"], ["scores"]),
        node("Softmax", ["scores"], ["shares"], axis=-1),
        node("MatMul", ["shares", "states"], ["attended"]),
        node("Transpose", ["attended"], ["turned"], perm=[0, 2, 1]),
        node("Reshape", ["turned", "size"], ["made"]),
    ]
    shape: list[str | int | None] = [1, CHANNELS, "height", "width"]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("sample", "made")
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "in steps", values[:1], values[1:], tensors)
    path = tmp_path_factory.mktemp("in_steps") / "model.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    specs = [
        TensorSpec(name=name, dtype="float32", shape=(1, CHANNELS, "height", "width"))
        for name in ("sample", "made")
    ]
    spec = GraphSpec(files={"onnx": (path.name,)}, inputs=(specs[0],), outputs=(specs[1],))
    return Network("in_steps", spec, (path,), "fp32")


def test_a_part_of_a_picture_is_computed_as_such(in_steps: Network, backend: Backend) -> None:
    """The network looks at nothing but the whole: a part comes out as it is in the whole."""
    whole = np.random.default_rng(1).standard_normal((1, CHANNELS, 6, 8)).astype(np.float32)
    whole[..., :4] += 3
    context, made = context_of(backend, in_steps, {"sample": whole})
    assert [array.shape for array in context.values()][:2] == [(1, GROUPS, 1)] * 2
    expected, part = made["made"][..., :4], np.ascontiguousarray(whole[..., :4])
    alone = backend.open(in_steps).run({"sample": part})["made"]
    assert snr_db(expected, alone) < 30
    graph = backend.open(in_steps.in_role("consumer", tuple(context)))
    assert snr_db(expected, graph.run({"sample": part, **context})["made"]) > 100


def test_the_statistics_are_those_of_numpy(in_steps: Network, backend: Backend) -> None:
    whole = np.random.default_rng(2).standard_normal((1, CHANNELS, 5, 3)).astype(np.float32) + 1
    context, _ = context_of(backend, in_steps, {"sample": whole})
    groups = whole.reshape(GROUPS, -1).astype(np.float64)
    np.testing.assert_allclose(context["context_0_mean"].ravel(), groups.mean(1), rtol=1e-5)
    np.testing.assert_allclose(context["context_0_variance"].ravel(), groups.var(1), rtol=1e-5)


def test_a_network_is_not_run_without_what_it_takes(in_steps: Network, backend: Backend) -> None:
    graph = backend.open(in_steps.in_role("consumer", backend.context(in_steps)))
    with pytest.raises(ValueError, match="takes .*context_0_mean.*, got"):
        graph.run({"sample": np.zeros((1, CHANNELS, 2, 2), np.float32)})


def test_statistics_are_continued_in_a_line_and_variances_stay_positive() -> None:
    near = {"context_0_mean": np.array([2.0]), "context_0_variance": np.array([1.0, 1.0])}
    far = {"context_0_mean": np.array([4.0]), "context_0_variance": np.array([2.0, 9.0])}
    near["context_1_key"], far["context_1_key"] = np.zeros(3), np.ones(2)
    context = extrapolated(near, far, 0.5)
    assert context["context_0_mean"].tolist() == [1.0]
    assert context["context_0_variance"].tolist() == [0.5, 0.25]
    assert context["context_1_key"] is near["context_1_key"]
    rounded = {"context_0_variance": np.array([-1e-9], np.float32)}
    assert extrapolated(rounded, rounded, 0.5)["context_0_variance"].tolist() == [0.0]
