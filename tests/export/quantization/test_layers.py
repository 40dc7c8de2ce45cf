"""Layers that are rounded, and those that stay in float for a measured reason."""

from pathlib import Path

import numpy as np
import onnx_ir as ir

from sdrt.arrays import snr_db
from sdrt.artifact import Artifact
from sdrt_export.graphs.onnx_storage import store_bf16, widen
from sdrt_export.quantization.layers import find_layers, split_concats
from sdrt_export.quantization.rounding import round_layers, round_results, round_weights_alone
from sdrt_export.quantization.sensitivity import (
    CHEAP_SHARE,
    DEAR_SHARE,
    LayerCost,
    groups_of,
    keep_in_float,
)
from tests.export.quantization.small_networks import (
    concat_network,
    measured,
    optimized_kinds,
    run,
    small_network,
    vector_network,
)


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
