"""Both engines behind the seam: the same answers, the same refusals, the same ways to stop."""

import threading
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import pytest
from onnx import TensorProto, helper
from openvino import opset13

from sdrt.arrays import Array, snr_db
from sdrt.artifact import Artifact, open_artifact
from sdrt.backends import Backend, Graph, Network, open_backend, usable_backends
from sdrt.backends.cancellation import Cancellation
from sdrt.backends.openvino.backend import OpenVinoBackend, OpenVinoGraph
from sdrt.backends.openvino.mapped_weights import drop_pages, dropping_pages
from sdrt.diagnostics.verify import seeded_feeds
from sdrt.errors import ArtifactError, CancelledError, NonFiniteError, UnsupportedError, UsageError
from sdrt.manifest import GraphSpec, TensorSpec

ENGINES = ["onnxruntime", "openvino"]


def opened(artifact: Artifact, name: str, backend: Backend) -> Graph:
    return backend.open(artifact.network(name, backend.formats))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["text_encoder", "unet", "vae_decoder", "vae_encoder"])
def test_the_engines_agree_on_the_embedded_model(demo: Artifact, name: str) -> None:
    feeds = seeded_feeds(demo, name)
    answers = [
        opened(demo, name, open_backend(engine, precision="fp32")).run(feeds) for engine in ENGINES
    ]
    assert answers[0].keys() == answers[1].keys()
    for output in answers[0]:
        assert snr_db(answers[0][output], answers[1][output]) > 80


def test_openvino_runs_the_ir_where_there_is_one_and_the_onnx_where_not(
    tiny: Artifact, demo: Artifact
) -> None:
    backend = open_backend("openvino")
    assert tiny.network("unet", backend.formats).files[0].name == "openvino_model.xml"
    assert demo.network("unet", backend.formats).files[0].name == "model.onnx"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample": None}, "takes"),
        ({"extra": np.zeros(1, np.float32)}, "takes"),
        ({"sample": np.zeros((1, 4, 8, 8), np.float64)}, "is float64, expected float32"),
        ({"sample": np.zeros((1, 3, 8, 8), np.float32)}, "has shape"),
        ({"sample": np.zeros((4, 8, 8), np.float32)}, "has shape"),
        ({"encoder_hidden_states": np.zeros((2, 77, 16), np.float32)}, "has shape"),
    ],
)
def test_feeds_that_do_not_fit_are_refused(
    tiny: Artifact, engine: str, change: dict[str, Array | None], message: str
) -> None:
    feeds = {**seeded_feeds(tiny, "unet"), **change}
    graph = opened(tiny, "unet", open_backend(engine))
    with pytest.raises(ValueError, match=message):
        graph.run({name: array for name, array in feeds.items() if array is not None})


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_every_size_works_and_equals_its_own_batch(tiny: Artifact, engine: str) -> None:
    graph = opened(tiny, "unet", open_backend(engine, precision="fp32"))
    rng = np.random.default_rng(0)
    for height, width in ((8, 8), (9, 13), (16, 8), (8, 8)):
        sample = rng.standard_normal((2, 4, height, width), np.float32)
        states = rng.standard_normal((2, 77, 16), np.float32)
        timestep = np.array(250.5, np.float32)

        def run(s: Array, e: Array, t: Array = timestep) -> Array:
            return graph.run({"sample": s, "timestep": t, "encoder_hidden_states": e})["out_sample"]

        both = run(sample, states)
        assert both.shape == sample.shape
        assert snr_db(both[1:], run(sample[1:], states[1:])) > 90


@pytest.mark.parametrize("engine", ENGINES)
def test_results_are_not_overwritten_by_the_next_run(tiny: Artifact, engine: str) -> None:
    graph = opened(tiny, "unet", open_backend(engine))
    feeds = seeded_feeds(tiny, "unet")
    first = graph.run(feeds)["out_sample"]
    kept = first.copy()
    graph.run({**feeds, "sample": feeds["sample"] * 2})
    np.testing.assert_array_equal(first, kept)


class AskedAtTheLastMoment(Cancellation):
    """Somebody asks after the last look and before the engine starts."""

    def check(self) -> None:
        self.request()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("when", ["inside", "at the last moment"])
def test_a_run_can_be_stopped_inside_a_network(demo: Artifact, engine: str, when: str) -> None:
    graph = opened(demo, "vae_decoder", open_backend(engine, threads=1))
    rng = np.random.default_rng(0)
    large = {"latent_sample": rng.standard_normal((1, 4, 48, 48), np.float32)}
    before = graph.run(large)["sample"]
    cancellation = Cancellation() if when == "inside" else AskedAtTheLastMoment()
    asking = threading.Timer(0.05, cancellation.request)
    asking.start()
    with pytest.raises(CancelledError, match="vae_decoder was cancelled"):
        graph.run(large, cancellation)
    asking.join()
    np.testing.assert_array_equal(graph.run(large)["sample"], before)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_wish_that_comes_too_late_does_not_reach_the_next_run(
    tiny: Artifact, engine: str
) -> None:
    graph, cancellation = opened(tiny, "unet", open_backend(engine)), Cancellation()
    feeds = seeded_feeds(tiny, "unet")
    graph.run(feeds, cancellation)
    cancellation.request()
    graph.run(feeds)
    graph.run(feeds, Cancellation())
    with pytest.raises(CancelledError, match="the run was cancelled"):
        graph.run(feeds, cancellation)


@pytest.mark.parametrize("engine", ENGINES)
def test_nan_from_a_network_is_an_error_that_names_it(tmp_path: Path, engine: str) -> None:
    graph = open_backend(engine).open(logarithm(tmp_path))
    assert graph.run({"x": np.array([1.0], np.float32)})["y"] == 0
    for bad in (-1.0, 0.0):  # NaN, and minus infinity
        with pytest.raises(NonFiniteError, match="broken gave NaN or infinity in 'y'"):
            graph.run({"x": np.array([bad], np.float32)})


def logarithm(folder: Path) -> Network:
    """A graph that computes log(x)."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Log", ["x"], ["y"])], "log", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, folder / "model.onnx")
    spec = GraphSpec(
        files={"onnx": ("model.onnx",)},
        inputs=(TensorSpec(name="x", dtype="float32", shape=("n",)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=("n",)),),
    )
    return Network("broken", spec, (folder / "model.onnx",), "fp32")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_that_is_no_graph_is_refused(tmp_path: Path, engine: str) -> None:
    network = logarithm(tmp_path)
    network.files[0].write_bytes(b"this is no graph" * 100)
    with pytest.raises(ArtifactError, match="cannot run"):
        open_backend(engine).open(network)


def test_onnxruntime_executes_fp32_whatever_is_stored(tiny_exports: dict[str, Path]) -> None:
    for path in tiny_exports.values():
        assert executed(open_artifact(path), open_backend("onnxruntime")) == "fp32"


def test_openvino_executes_what_it_is_asked_and_says_so(tiny: Artifact) -> None:
    graph = opened(tiny, "unet", OpenVinoBackend(precision="fp32"))
    with pytest.raises(ValueError, match="unet has not run yet"):
        graph.executed()
    graph.run(seeded_feeds(tiny, "unet"))
    assert graph.executed().shares == {"fp32": 1.0}
    assert "bf16" not in {kernel.precision for kernel in graph.executed().kernels}


def test_openvino_rounds_no_inputs_where_only_weights_are_integers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, (256, 512), np.int8)
    scales = rng.uniform(0.01, 0.02, (256, 1)).astype(np.float32)
    x = opset13.parameter([-1, 512], np.float32, "x")
    scaled = opset13.multiply(opset13.convert(weights, "f32"), scales)
    layer = opset13.matmul(x, scaled, False, True)
    x.output(0).set_names({"x"})
    layer.output(0).set_names({"y"})
    path = tmp_path / "openvino_model.xml"
    ov.save_model(ov.Model([opset13.result(layer)], [x], "weights"), path)
    spec = GraphSpec(
        files={"openvino": (path.name,)},
        inputs=(TensorSpec(name="x", dtype="float32", shape=("n", 512)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=("n", 256)),),
    )
    network = Network("weights", spec, (path,), "int8-weights")
    given = rng.standard_normal((64, 512), np.float32)
    output = open_backend("openvino", precision="fp32").open(network).run({"x": given})["y"]
    assert snr_db(given @ (weights * scales).T, output) > 80


@pytest.mark.slow
def test_openvino_takes_bf16_only_from_the_artifact_or_the_caller(
    tiny_exports: dict[str, Path],
) -> None:
    has_bf16 = OpenVinoBackend().has_bf16
    wide, narrow = (open_artifact(tiny_exports[p]) for p in ("fp32", "bf16"))
    assert executed(wide, OpenVinoBackend()) == "fp32"
    assert executed(narrow, OpenVinoBackend(precision="fp32")) == "fp32"
    assert executed(narrow, OpenVinoBackend()) == ("bf16" if has_bf16 else "fp32")
    if has_bf16:
        assert executed(wide, OpenVinoBackend(precision="bf16")) == "bf16"
    else:
        with pytest.raises(UnsupportedError, match="no bf16 arithmetic"):
            OpenVinoBackend(precision="bf16")


def test_an_engine_knows_whether_it_could_run_a_network_in_fp32(
    tiny_exports: dict[str, Path],
) -> None:
    artifact = open_artifact(tiny_exports["bf16"])
    for engine, asked in (("onnxruntime", None), ("onnxruntime", "bf16"), ("openvino", "fp32")):
        backend = open_backend(engine, precision=asked)  # type: ignore[arg-type]
        assert backend.in_fp32(artifact.network("unet", backend.formats)) is None
    narrow = OpenVinoBackend(threads=1)
    wide = narrow.in_fp32(artifact.network("unet", narrow.formats))
    assert (wide is not None) == narrow.has_bf16
    if wide:
        assert executed(artifact, wide) == "fp32"
        assert (wide.threads, wide.device) == (1, "CPU")


def executed(artifact: Artifact, backend: Backend) -> str:
    graph = opened(artifact, "unet", backend)
    graph.run(seeded_feeds(artifact, "unet"))
    return graph.executed().precision


def test_openvino_compiles_each_shape_once_and_keeps_a_few(tiny: Artifact) -> None:
    backend = OpenVinoBackend(max_shapes=2)
    graph = opened(tiny, "vae_decoder", backend)
    assert isinstance(graph, OpenVinoGraph)
    for side in (8, 16, 8, 16, 24, 16):
        graph.run({"latent_sample": np.zeros((1, 4, side, side), np.float32)})
    assert graph.compilations == 3


def test_int8_is_refused_on_a_processor_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdrt.machine.instruction_sets", lambda: ("avx2", "fma"))
    with pytest.raises(UnsupportedError, match="use a model in fp32 or bf16"):
        open_backend("onnxruntime", precision="int8")
    monkeypatch.setattr("sdrt.machine.instruction_sets", lambda: ("avx2", "avx_vnni"))
    assert open_backend("onnxruntime", precision="int8").precision == "int8"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"name": "tensorrt"}, UsageError, "known: openvino, onnxruntime"),
        ({"threads": 0}, UsageError, "expected at least 1"),
        ({"precision": "fp8"}, UsageError, "known: fp32, bf16, int8"),
        ({"name": "openvino", "device": "TPU"}, UnsupportedError, "it finds: CPU"),
        ({"name": "onnxruntime", "device": "GPU"}, UnsupportedError, "use openvino"),
    ],
)
def test_an_impossible_engine_is_refused(
    options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        open_backend(**options)  # type: ignore[arg-type]


def test_the_fastest_installed_engine_is_the_default() -> None:
    assert open_backend().name == usable_backends()[0] == "openvino"


def test_pages_of_a_mapped_file_can_be_dropped_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    values = np.arange(4_000_000, dtype=np.float32)
    path.write_bytes(values.tobytes())
    mapped = np.memmap(path, np.float32, "r")
    total = float(mapped.sum())  # touches every page
    before = resident_file_bytes()
    assert drop_pages([path]) == 1
    assert resident_file_bytes() <= before - 0.9 * values.nbytes
    with dropping_pages([path]):
        assert float(mapped.sum()) == total


def resident_file_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssFile:"))) * 1024
