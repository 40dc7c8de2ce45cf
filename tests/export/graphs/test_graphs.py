"""Exported graphs compute what torch computes, in the form that engines are fast with."""

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import openvino as ov
import pytest
import torch

from sdrt.arrays import snr_db
from sdrt.artifact import open_artifact
from sdrt.errors import ParityError
from sdrt_export.graphs import to_onnx
from sdrt_export.graphs.networks import networks
from sdrt_export.graphs.parity import check_floor
from tests.data.make_tiny import committed_checkpoint

NETWORKS = ["text_encoder", "unet", "vae_decoder", "vae_encoder"]


@pytest.mark.parametrize(("precision", "floor"), [("fp32", 80), ("bf16", 40)])
def test_every_graph_is_measured_against_torch_on_both_engines(
    exported_tiny: dict[str, Path], precision: str, floor: float
) -> None:
    manifest = open_artifact(exported_tiny[precision]).manifest
    assert list(manifest.graphs) == NETWORKS
    for graph in manifest.graphs.values():
        assert graph.parity_db.keys() == {"onnxruntime", "openvino"}
        assert min(graph.parity_db.values()) >= floor


def test_names_of_inputs_and_outputs_are_those_of_optimum(exported_tiny: dict[str, Path]) -> None:
    graphs = open_artifact(exported_tiny["fp32"]).manifest.graphs
    signatures = {
        name: ([i.name for i in graph.inputs], [o.name for o in graph.outputs])
        for name, graph in graphs.items()
    }
    assert signatures == {
        # The second is ours: Optimum's `hidden_states.N` lack the norm.
        "text_encoder": (["input_ids"], ["last_hidden_state", "layer_states"]),
        "unet": (["sample", "timestep", "encoder_hidden_states"], ["out_sample"]),
        "vae_decoder": (["latent_sample"], ["sample"]),
        "vae_encoder": (["sample"], ["latent_parameters"]),
    }


def test_bf16_halves_the_disk_and_casts_back_in_the_graph(exported_tiny: dict[str, Path]) -> None:
    model = ir.load(exported_tiny["bf16"] / "unet" / "model.onnx")
    tensors = [value.const_value for value in model.graph.initializers.values()]
    halved = sum(
        tensor.size for tensor in tensors if tensor and tensor.dtype == ir.DataType.BFLOAT16
    )
    assert halved > 0.6 * sum(tensor.size for tensor in tensors if tensor)
    for file in ("unet/model.onnx_data", "unet/openvino_model.bin"):
        wide, narrow = (exported_tiny[p] / file for p in ("fp32", "bf16"))
        saved = wide.stat().st_size - narrow.stat().st_size
        assert saved == pytest.approx(2 * halved, rel=0.01)
    assert all(value.dtype == ir.DataType.FLOAT for value in model.graph.outputs)


def test_openvino_holds_bf16_weights_as_they_are_stored(exported_tiny: dict[str, Path]) -> None:
    core = ov.Core()
    model = core.read_model(exported_tiny["bf16"] / "vae_decoder" / "openvino_model.xml")
    stored = [op for op in model.get_ops() if op.get_element_type() == ov.Type.bf16]
    model.reshape({"latent_sample": ov.PartialShape([1, 4, 8, 8])})
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    facts = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    constants = [fact["outputPrecisions"].value for fact in facts if is_constant(fact)]
    assert len(stored) == 10
    assert constants.count("bf16") == len(stored)


def is_constant(fact: Any) -> bool:
    return bool(fact["layerType"].value == "Const")


def test_a_network_that_is_written_leaves_no_weights_in_memory(
    exported_tiny: dict[str, Path], tmp_path: Path
) -> None:
    """Its files are those of the export, whose trace may be one that tests share."""
    network = next(n for n in networks(committed_checkpoint()) if n.name == "unet")
    weights = [weakref.ref(weight) for weight in network.module.parameters()]
    to_onnx.write_onnx(to_onnx.trace(network), tmp_path, "bf16")
    del network
    gc.collect()
    assert len(weights) > 100
    assert [weight for weight in weights if weight() is not None] == []
    exported = exported_tiny["bf16"] / "unet"
    assert unnamed_graph(tmp_path) == unnamed_graph(exported)
    stored = "model.onnx_data"
    assert (tmp_path / stored).read_bytes() == (exported / stored).read_bytes()


def unnamed_graph(folder: Path) -> bytes:
    """A graph without the names of its nodes, which are counted."""
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    for node in model.graph.node:
        node.name = ""
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def test_stored_bf16_is_torchs_rounding(exported_tiny: dict[str, Path]) -> None:
    wide, narrow = (ir.load(exported_tiny[p] / "unet" / "model.onnx") for p in ("fp32", "bf16"))
    compared = 0
    for name, value in narrow.graph.initializers.items():
        original = wide.graph.initializers.get(name.removesuffix("_bf16"))
        if not name.endswith("_bf16") or original is None:
            continue
        assert value.const_value is not None
        assert original.const_value is not None
        expected = torch.from_numpy(original.const_value.numpy().copy()).bfloat16().float()
        np.testing.assert_array_equal(value.const_value.numpy().astype(np.float32), expected)
        compared += 1
    assert compared > 10


def test_attention_and_norms_stay_whole_in_the_graphs(exported_tiny: dict[str, Path]) -> None:
    model = ir.load(exported_tiny["fp32"] / "unet" / "model.onnx")
    kinds = [node.op_type for node in model.graph]
    assert kinds.count("MultiHeadAttention") == 8  # two for each of four transformer blocks
    assert "Softmax" not in kinds
    assert kinds.count("GroupNormalization") == 21
    assert kinds.count("Gelu") == 4
    assert "Split" not in kinds  # of what a gated layer makes
    intermediate = ov.Core().read_model(exported_tiny["fp32"] / "unet" / "openvino_model.xml")
    kinds = [node.get_type_name() for node in intermediate.get_ops()]
    assert kinds.count("ScaledDotProductAttention") == 8
    assert kinds.count("GroupNormalization") == 21


@pytest.mark.parametrize("figure", [79.9, float("nan"), float("-inf")])
def test_a_figure_below_the_floor_raises(figure: float) -> None:
    check_floor("unet", "fp32", {"onnxruntime": 80.0})
    with pytest.raises(ParityError, match="unet on openvino"):
        check_floor("unet", "fp32", {"onnxruntime": 120.0, "openvino": figure})


def test_parity_is_measured_in_decibels() -> None:
    signal = np.ones(1000)
    assert snr_db(signal, signal) == float("inf")
    assert snr_db(signal, signal + 0.01) == pytest.approx(40)
    assert snr_db(np.zeros(3), np.ones(3)) == float("-inf")
