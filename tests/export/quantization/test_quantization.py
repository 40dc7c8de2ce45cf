"""int8: right ranges, layers that stay in float for a measured reason, integers in both engines."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime as ort
import pytest

import sdrt
from sdrt.arrays import Array
from sdrt.artifact import Artifact, open_artifact
from sdrt.backends import open_backend
from sdrt.diagnostics.info import describe_model
from sdrt.diagnostics.verify import seeded_feeds
from sdrt.errors import ParityError, UsageError, WriteError
from sdrt.pipeline import Pipeline
from sdrt.snr import snr_db
from sdrt_export.exporter import export, weights_of
from sdrt_export.graphs import parity
from sdrt_export.graphs.onnx_storage import store_bf16, widen
from sdrt_export.presets import read_preset
from sdrt_export.quantization import calibration
from sdrt_export.quantization.calibration import HELD_OUT, PROMPTS, CalibrationSettings
from sdrt_export.quantization.int8_artifact import Int8Settings
from sdrt_export.quantization.layers import find_layers, initializer, split_concats
from sdrt_export.quantization.observation import (
    SAMPLES,
    SEEN,
    SHAPE,
    Calibration,
    Statistics,
    observe,
    read_calibration,
    write_calibration,
)
from sdrt_export.quantization.ranges import (
    QuantizationRange,
    choose_range,
    round_weights,
    squared_error,
    weight_scales,
)
from sdrt_export.quantization.rounding import round_layers, round_results, round_weights_alone
from sdrt_export.quantization.sensitivity import (
    CHEAP_SHARE,
    DEAR_SHARE,
    LayerCost,
    groups_of,
    keep_in_float,
)
from sdrt_export.sources.random_weights import RandomCheckpoint

FLOAT_LAYERS = ("Conv", "FusedConv", "Gemm", "MatMul", "FusedMatMul")  # where not int8

Floats = npt.NDArray[np.float32]


def statistics_of(values: npt.NDArray[np.floating]) -> Statistics:
    """As from an observed graph: the ends, and samples."""
    samples = np.random.default_rng(0).choice(values.ravel(), SAMPLES)
    seen = np.array([values.min(), values.max(), *samples], np.float32)
    return Statistics.from_samples(seen, values.shape)


def rounded(values: Floats, range: QuantizationRange) -> Floats:
    levels = np.rint(values / range.scale) + np.float32(range.zero_point)
    read_back: Floats = (levels.clip(0, 255) - np.float32(range.zero_point)) * range.scale
    return read_back


# Ranges


@pytest.mark.parametrize("shift", [0.0, 2.0, -5.0, 30.0])
def test_zero_and_every_level_near_it_are_exact(shift: float) -> None:
    values = np.random.default_rng(0).normal(shift, 1, 20_000)
    chosen = choose_range(statistics_of(values))
    assert rounded(np.zeros(1, np.float32), chosen)[0] == 0
    assert chosen.low <= 0 <= chosen.high


def test_the_error_that_is_foretold_is_the_error_that_is_made() -> None:
    values = np.random.default_rng(1).laplace(0, 1, 100_000).astype(np.float32)
    for share in (1.0, 0.5, 0.2):
        tried = QuantizationRange(float(values.min()) * share, float(values.max()) * share)
        made = float(((rounded(values, tried) - values) ** 2).mean())
        assert squared_error(statistics_of(values), tried) == pytest.approx(made, rel=0.1)


def test_a_rare_great_value_does_not_make_all_others_coarse() -> None:
    values = np.random.default_rng(2).standard_normal(1_000_000).astype(np.float32)
    values[0] = 30
    chosen = choose_range(statistics_of(values))
    whole = QuantizationRange(float(values.min()), float(values.max()))
    error = float(((rounded(values, chosen) - values) ** 2).mean())
    assert chosen.high < 30
    assert error < float(((rounded(values, whole) - values) ** 2).mean()) / 2


def test_a_constant_tensor_has_a_range() -> None:
    for value in (0.0, 3.0, -3.0):
        chosen = choose_range(statistics_of(np.full(100, value)))
        assert rounded(np.full(1, value, np.float32), chosen)[0] == pytest.approx(value, rel=0.01)


def test_weights_are_rounded_for_each_output_of_its_own() -> None:
    weights = np.random.default_rng(3).standard_normal((4, 3, 3, 3)).astype(np.float32)
    weights *= np.array([1, 10, 100, 0], np.float32).reshape(4, 1, 1, 1)
    scales = weight_scales(weights, 0)
    stored = round_weights(weights, scales, 0)
    assert np.abs(stored).max(axis=(1, 2, 3)).tolist() == [127, 127, 127, 0]
    error = np.abs(stored * scales.reshape(4, 1, 1, 1) - weights).max(axis=(1, 2, 3))
    assert (error <= scales / 2 * 1.001).all()


# Statistics


def test_statistics_of_two_runs_are_those_of_all_values() -> None:
    rng = np.random.default_rng(4)
    runs = [rng.normal(0, 1, 10_000), rng.normal(3, 2, 10_000)]
    added = statistics_of(runs[0]).add(statistics_of(runs[1]))
    both = np.concatenate(runs)
    assert (added.low, added.high) == pytest.approx((both.min(), both.max()), rel=1e-6)
    assert added.counts.sum() == 2 * (SAMPLES + 2)
    assert added.mean_square() == pytest.approx(float((both**2).mean()), rel=0.05)


def test_an_observed_graph_tells_of_its_tensors_and_computes_the_same(tmp_path: Path) -> None:
    model = small_network()
    feeds = {"x": np.random.default_rng(5).standard_normal((2, 16, 8, 8)).astype(np.float32)}
    expected = run(model, feeds, tmp_path)["y"]
    observe(model, [layer.input for layer in find_layers(model.graph)])
    outputs = run(model, feeds, tmp_path)
    np.testing.assert_array_equal(outputs["y"], expected)
    seen, shape = outputs[f"x{SEEN}"], outputs[f"x{SHAPE}"]
    assert shape.tolist() == [2, 16, 8, 8]
    assert (seen[0], seen[1]) == (feeds["x"].min(), feeds["x"].max())
    assert np.isin(seen, feeds["x"]).all()
    assert abs(seen[2:].mean() - feeds["x"].mean()) < 0.05


def test_a_calibration_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = {"x": statistics_of(np.random.default_rng(6).standard_normal(500))}
    made = Calibration("model", ("a boat",), 1, 4, 7, {"unet": found})
    file = tmp_path / "statistics.json"
    write_calibration(made, file)
    assert list(tmp_path.iterdir()) == [file]
    read = read_calibration(file)
    assert (read.model, read.prompts) == ("model", ("a boat",))
    assert (read.samples, read.steps, read.seed) == (1, 4, 7)
    one, other = made.networks["unet"]["x"], read.networks["unet"]["x"]
    np.testing.assert_allclose(one.counts, other.counts, atol=1e-3)
    assert (one.low, one.high, one.shape) == (other.low, other.high, other.shape)


def test_a_calibration_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="statistics.json"):
        write_calibration(Calibration("m", (), 0, 1, 0), tmp_path / "none" / "statistics.json")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"schema": 9}', b"\xff\xfe", b'{"schema": 1, "networks": []}']
)
def test_what_is_no_calibration_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "statistics.json"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="statistics.json"):
        read_calibration(file)


def test_a_damaged_histogram_is_found(tmp_path: Path) -> None:
    found = {"x": statistics_of(np.random.default_rng(6).standard_normal(500))}
    record = json.loads(Calibration("m", (), 0, 1, 0, {"unet": found}).to_json())
    record["networks"]["unet"]["x"]["counts"].pop()
    file = tmp_path / "statistics.json"
    file.write_text(json.dumps(record))
    with pytest.raises(UsageError, match="damaged"):
        read_calibration(file)


# Samples


def test_samples_cover_the_timesteps_evenly(
    demo: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = timesteps_of(demo, CalibrationSettings(samples=4, steps=5))
    later = sorted(t for t in told if t < 999)
    assert told.count(999) == 4
    assert len(set(later)) == 16
    gaps = np.diff(later)
    assert gaps.max() < 3 * gaps.min()


def timesteps_of(artifact: Artifact, sampling: CalibrationSettings) -> list[float]:
    """What the samples tell the U-Net."""
    told = []
    pipeline = Pipeline(artifact, open_backend("onnxruntime"))
    for prompt, seed, share in calibration._samples(sampling):
        request = pipeline.start(prompt, seed=seed, num_inference_steps=sampling.steps).request
        steps = calibration.moved_steps(request.steps(pipeline.training_noise), share)
        told += steps.timesteps.tolist()
    return told


def test_of_a_large_array_the_middle_is_taken_and_a_small_one_is_whole() -> None:
    array = np.arange(2 * 3 * 8 * 5).reshape(2, 3, 8, 5)
    np.testing.assert_array_equal(calibration.middle(array, 4), array[:, :, 2:6, 0:4])
    for most in (16, None):
        assert calibration.middle(array, most).shape == array.shape


def test_the_held_out_prompt_is_not_among_the_samples() -> None:
    assert HELD_OUT not in PROMPTS


# Layers


def test_a_convolution_of_a_concatenation_becomes_one_for_each_part(tmp_path: Path) -> None:
    model = concat_network()
    feeds = {"x": np.random.default_rng(7).standard_normal((2, 16, 8, 8)).astype(np.float32)}
    expected = run(model, feeds, tmp_path)["y"]
    split_concats(model.graph)
    names = [layer.name for layer in find_layers(model.graph)]
    assert [name for name in names if "part" in name] == ["shortcut.part0", "shortcut.part1"]
    assert "shortcut.weight" not in model.graph.initializers
    np.testing.assert_allclose(run(model, feeds, tmp_path)["y"], expected, atol=1e-4)


def test_the_ends_of_a_network_are_no_layers_to_round() -> None:
    model = small_network(first="conv_in", last="conv_out")
    assert [layer.name for layer in find_layers(model.graph)] == ["linear"]


def test_bf16_weights_are_widened_to_what_they_were_rounded_to(tmp_path: Path) -> None:
    model = small_network()
    store_bf16(model)
    feeds = {"x": np.random.default_rng(8).standard_normal((1, 16, 8, 8)).astype(np.float32)}
    expected = run(model, feeds, tmp_path)["y"]
    assert not find_layers(model.graph)
    widen(model)
    assert len(find_layers(model.graph)) == 3
    np.testing.assert_array_equal(run(model, feeds, tmp_path)["y"], expected)


# Rounding


def test_both_forms_of_the_graph_compute_nearly_what_the_float_graph_does(tmp_path: Path) -> None:
    feeds = {"x": np.random.default_rng(9).standard_normal((2, 16, 8, 8)).astype(np.float32)}
    expected, ranges = measured(feeds, tmp_path)
    model = small_network()
    round_layers(model.graph, ranges, kept=())
    assert 30 < snr_db(expected, run(model, feeds, tmp_path)["y"]) < 60
    round_results(model.graph, ranges)
    assert 25 < snr_db(expected, run(model, feeds, tmp_path)["y"]) < 60


def test_onnxruntime_takes_integer_kernels_for_every_layer(tmp_path: Path) -> None:
    feeds = {"x": np.random.default_rng(9).standard_normal((2, 16, 8, 8)).astype(np.float32)}
    _, ranges = measured(feeds, tmp_path)
    model = small_network()
    round_layers(model.graph, ranges, kept=())
    round_results(model.graph, ranges)
    kinds = optimized_kinds(model, tmp_path)
    assert kinds.count("QLinearConv") == 2
    assert kinds.count("MatMulIntegerToFloat") + kinds.count("QLinearMatMul") == 1
    assert not {"Conv", "MatMul"} & set(kinds)


def test_a_layer_that_is_kept_stays_as_it_is(tmp_path: Path) -> None:
    feeds = {"x": np.random.default_rng(9).standard_normal((2, 16, 8, 8)).astype(np.float32)}
    expected, ranges = measured(feeds, tmp_path)
    model = small_network()
    names = [layer.name for layer in find_layers(model.graph)]
    round_layers(model.graph, ranges, kept=names)
    round_results(model.graph, ranges)
    np.testing.assert_array_equal(run(model, feeds, tmp_path)["y"], expected)


def test_of_layers_of_the_time_only_the_weights_are_rounded(tmp_path: Path) -> None:
    rng = np.random.default_rng(10)
    weight = rng.standard_normal((24, 64)).astype(np.float32)
    feeds = {"x": rng.standard_normal((2, 64)).astype(np.float32)}
    for is_turned in (0, 1):
        model = vector_network(weight if is_turned else weight.T.copy(), is_turned)
        expected = run(model, feeds, tmp_path)["y"]
        round_weights_alone(model.graph)
        assert [node.op_type for node in model.graph] == ["DequantizeLinear", "Gemm"]
        stored = model.graph.initializers["time.weight/int8"]
        assert stored.dtype == ir.DataType.INT8
        scale = model.graph.initializers["time.weight/scale"]
        assert scale.shape == ir.Shape([24])  # one for each output
        found = run(model, feeds, tmp_path)["y"]
        assert 38 < snr_db(expected, found) < 55


def test_layers_of_one_input_are_measured_together(demo: Artifact) -> None:
    model = ir.load(demo.network("text_encoder", ("onnx",)).files[0])
    widen(model)
    layers = find_layers(model.graph)
    groups = [len(group) for group in groups_of(layers)]
    assert groups[:4] == [3, 1, 1, 1]  # queries, keys and values; their result; the two behind
    assert sum(groups) == len(layers)


def test_the_layers_that_stay_are_the_worst_for_their_work_and_few() -> None:
    costs = {f"layer{i}": LayerCost(1e-7, 1000) for i in range(100)}
    costs["worst"] = LayerCost(1e-5, 1000)
    costs["harmless"] = LayerCost(1e-9, 1000)
    assert keep_in_float(costs, "unet") == ["worst"]


def test_more_layers_stay_where_the_network_would_be_too_coarse() -> None:
    costs = {f"layer{i}": LayerCost(1e-3 if i < 10 else 1e-9, 1000) for i in range(100)}
    kept = keep_in_float(costs, "unet")
    assert kept == [f"layer{i}" for i in range(10)]
    assert CHEAP_SHARE < len(kept) / 100 <= DEAR_SHARE


# The whole


def test_int8_is_a_quarter_of_fp32_and_names_what_stayed(int8_demo: Artifact) -> None:
    manifest = int8_demo.manifest
    unet = manifest.graphs["unet"]
    assert manifest.precision == "int8"
    assert unet.quantization is not None
    assert set(unet.quantization.kept) < set(unet.quantization.sqnr_db)
    assert unet.quantization.share >= 1 - DEAR_SHARE
    assert (unet.quantization.samples, unet.quantization.steps) == (3, 4)
    in_bf16 = open_artifact("demo").manifest.files["unet/model.onnx_data"].size
    assert manifest.files["unet/model.onnx_data"].size < 0.56 * in_bf16


def test_info_says_how_much_is_in_int8_and_what_is_not(int8_demo: Artifact) -> None:
    record, text = describe_model(str(int8_demo.root))
    quantization = record["graphs"]["unet"]["quantization"]
    count, kept = len(quantization["sqnr_db"]), quantization["kept"]
    assert f"{count - len(kept)} of {count} layers in int8" in text
    worst = min(kept, key=lambda name: quantization["sqnr_db"][name])
    assert f"in float: {worst} ({quantization['sqnr_db'][worst]:.1f} dB)" in text


INTEGER_LAYERS = {
    "onnxruntime": ("QLinearConv", "MatMulIntegerToFloat", "QLinearMatMul"),
    "openvino": ("Convolution", "FullyConnected"),
}


@pytest.mark.parametrize("backend", INTEGER_LAYERS)
@pytest.mark.parametrize("name", ["unet", "text_encoder"])
def test_every_layer_that_was_rounded_runs_as_an_integer_kernel(
    int8_demo: Artifact, backend: str, name: str
) -> None:
    check_integers(int8_demo, backend, name)


def check_integers(artifact: Artifact, backend: str, name: str) -> None:
    """Every layer that was rounded runs in integers: of the work, what the manifest says."""
    engine, kinds = open_backend(backend), INTEGER_LAYERS[backend]
    graph = engine.open(artifact.network(name, engine.formats))
    graph.run(seeded_feeds(artifact, name))
    found = graph.executed()
    integer = [one for one in found.kernels if one.kind in kinds and one.precision == "int8"]
    quantization = artifact.manifest.graphs[name].quantization
    assert quantization is not None
    assert len(integer) == len(quantization.sqnr_db) - len(quantization.kept)
    assert found.precision == "int8"
    attention = [one for one in found.kernels if one.kind not in (*kinds, *FLOAT_LAYERS)]
    of_layers = sum(one.macs for one in found.kernels) - sum(one.macs for one in attention)
    assert sum(one.macs for one in integer) / of_layers > 0.95 * quantization.share


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_int8_paints_nearly_the_picture_of_fp32(int8_demo: Artifact, backend: str) -> None:
    options = {"seed": 7, "num_inference_steps": 12}
    prompt = "a red boat on the sea at sunset"
    exact = sdrt.load("demo", backend=backend, precision="fp32")(prompt, **options)  # type: ignore[arg-type]
    found = sdrt.load(int8_demo.root, backend=backend)(prompt, **options)  # type: ignore[arg-type]
    one, other = (np.asarray(r.images[0], np.float64) for r in (exact, found))
    assert 10 * np.log10(255**2 / ((one - other) ** 2).mean()) > 22


def test_statistics_are_reused_and_give_the_same_artifact(
    int8_demo: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object) -> None:
        raise AssertionError("the samples were run again")

    monkeypatch.setattr("sdrt_export.quantization.quantizer.observe_samples", nothing)
    file = int8_demo.root.with_name("statistics.json")
    settings = Int8Settings(CalibrationSettings(samples=3, steps=4), file)
    export("demo", tmp_path / "again", "int8", ("onnx",), settings=settings)
    again = open_artifact(tmp_path / "again").manifest
    for name in ("unet", "vae_decoder"):
        for file_name in ("model.onnx", "model.onnx_data"):
            path = f"{name}/{file_name}"
            assert again.files[path] == int8_demo.manifest.files[path]


def test_statistics_of_another_model_are_refused(
    int8_demo: Artifact, tiny_exports: dict[str, Path], tmp_path: Path
) -> None:
    settings = Int8Settings(statistics_file=int8_demo.root.with_name("statistics.json"))
    with pytest.raises(UsageError, match="another model"):
        export(tiny_exports["fp32"], tmp_path / "new", "int8", settings=settings)
    assert not list(tmp_path.iterdir())


def test_an_artifacts_weights_are_counted_as_the_checkpoints(demo: Artifact) -> None:
    exact = RandomCheckpoint.of(*read_preset("demo")).weights()
    assert weights_of(demo) == pytest.approx(exact, rel=0.03)


def test_int8_is_not_rounded_again(int8_demo: Artifact, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="int8 already"):
        export(int8_demo.root, tmp_path / "new", "int8")
    assert not list(tmp_path.iterdir())


def test_below_its_floor_a_unet_is_published_only_when_told_to(
    tiny_exports: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(parity.FLOOR_DB, "int8", 90.0)
    settings = Int8Settings(CalibrationSettings(samples=1, steps=1))
    with pytest.raises(ParityError, match="unet"):
        export(tiny_exports["fp32"], tmp_path / "new", "int8", ("onnx",), settings=settings)
    assert not list(tmp_path.iterdir())
    told = replace(settings, publish_anyway=True)
    export(tiny_exports["fp32"], tmp_path / "new", "int8", ("onnx",), settings=told)
    assert min(open_artifact(tmp_path / "new").manifest.graphs["unet"].parity_db.values()) < 90


# Small networks


def small_network(first: str = "first", last: str = "last") -> ir.Model:
    """x + conv(linear(silu(conv(x)))): (n, 16, h, w) -> the same."""
    rng = np.random.default_rng(0)
    graph, x, y = empty_graph()
    conv = convolution(graph, first, x, rng.standard_normal((16, 16, 3, 3)) / 12)
    gate = ir.node("Sigmoid", [conv.outputs[0]])
    silu = ir.node("Mul", [conv.outputs[0], gate.outputs[0]])
    rows = ir.node("Transpose", [silu.outputs[0]], {"perm": [0, 2, 3, 1]})
    weight = (rng.standard_normal((16, 64)) / 4).astype(np.float32)
    linear = ir.node("MatMul", [rows.outputs[0], initializer(graph, "linear.weight", weight)])
    back = ir.node("Transpose", [linear.outputs[0]], {"perm": [0, 3, 1, 2]})
    end = convolution(graph, last, back.outputs[0], rng.standard_normal((16, 64, 3, 3)) / 24)
    graph.extend([conv, gate, silu, rows, linear, back, end])
    return finished(graph, ir.node("Add", [end.outputs[0], x]), y)


def vector_network(weight: Floats, is_turned: int) -> ir.Model:
    """One linear layer of vectors: (n, 64) -> (n, 24)."""
    graph, x, y = empty_graph()
    x.shape, y.shape = ir.Shape(["n", 64]), ir.Shape(["n", 24])
    inputs = [x, initializer(graph, "time.weight", weight)]
    return finished(graph, ir.node("Gemm", inputs, {"transB": is_turned}), y)


def concat_network() -> ir.Model:
    """Two convolutions, and one of their concatenation: (n, 16, h, w) -> (n, 64, h, w)."""
    rng = np.random.default_rng(0)
    graph, x, y = empty_graph()
    one = convolution(graph, "one", x, rng.standard_normal((16, 16, 3, 3)) / 12)
    two = convolution(graph, "two", one.outputs[0], rng.standard_normal((48, 16, 3, 3)) / 12)
    both = ir.node("Concat", [one.outputs[0], two.outputs[0]], {"axis": 1})
    graph.extend([one, two, both])
    weights = rng.standard_normal((64, 64, 1, 1)) / 8
    return finished(graph, convolution(graph, "shortcut", both.outputs[0], weights), y)


def empty_graph() -> tuple[ir.Graph, ir.Value, ir.Value]:
    float_type = ir.TensorType(ir.DataType.FLOAT)
    x, y = (
        ir.Value(name=name, shape=ir.Shape(["n", channels, "h", "w"]), type=float_type)
        for name, channels in (("x", 16), ("y", "channels"))
    )
    return ir.Graph([x], [], nodes=[], opset_imports={"": 23}, name="small"), x, y


def convolution(
    graph: ir.Graph, name: str, value: ir.Value, weights: npt.NDArray[np.float64]
) -> ir.Node:
    bias = np.linspace(-1, 1, len(weights)).astype(np.float32)
    inputs = [
        value,
        initializer(graph, f"{name}.weight", weights.astype(np.float32)),
        initializer(graph, f"{name}.bias", bias),
    ]
    side = weights.shape[2]
    node = ir.node("Conv", inputs, {"pads": [side // 2] * 4, "kernel_shape": [side, side]})
    node.outputs[0].name = f"{name}.result"
    return node


def finished(graph: ir.Graph, last: ir.Node, y: ir.Value) -> ir.Model:
    graph.append(last)
    result = last.outputs[0]
    result.name, result.shape, result.type = "y", y.shape, y.type
    graph.outputs.append(result)
    return ir.Model(graph, ir_version=10)


def run(model: ir.Model, feeds: dict[str, Floats], folder: Path) -> dict[str, Array]:
    ir.save(model, folder / "run.onnx")
    session = ort.InferenceSession(folder / "run.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def measured(feeds: dict[str, Floats], folder: Path) -> tuple[Array, dict[str, QuantizationRange]]:
    model = small_network()
    values = {
        str(value.name): value for layer in find_layers(model.graph) for value in layer.rounded
    }
    observe(model, values.values())
    outputs = run(model, feeds, folder)
    ranges = {
        name: choose_range(
            Statistics.from_samples(outputs[f"{name}{SEEN}"], outputs[f"{name}{SHAPE}"].tolist())
        )
        for name in values
    }
    return outputs["y"], ranges


def optimized_kinds(model: ir.Model, folder: Path) -> list[str]:
    ir.save(model, folder / "run.onnx")
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(folder / "run.onnx", options, providers=["CPUExecutionProvider"])
    return list(kinds_of(ir.load(folder / "optimized.onnx")))


def kinds_of(model: ir.Model) -> Iterator[str]:
    for node in model.graph:
        yield node.op_type
