"""Stable Diffusion XL in int8, and what the benchmarks measure of it."""

from pathlib import Path
from typing import Any

import onnx_ir as ir
import pytest
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from sdrt.artifact import Artifact, open_artifact
from sdrt.backends import open_backend
from sdrt.errors import UsageError
from sdrt.machine import has_int8
from sdrt.pipeline import Pipeline
from sdrt_bench.bench.macs import step_macs
from sdrt_bench.bench.record import Params
from sdrt_bench.bench.round_protocol import RoundSpec
from sdrt_bench.bench.side_jobs import measure_sqnr
from sdrt_bench.bench.worker import measure, open_engine
from sdrt_bench.compare.run import KEPT, compare
from sdrt_bench.prompts import Prompt
from sdrt_export.exporter import export
from sdrt_export.graphs.parity import FLOOR_DB
from sdrt_export.quantization.calibration import CalibrationSettings
from sdrt_export.quantization.int8_artifact import ENOUGH_DB, Int8Settings
from sdrt_export.quantization.layers import find_layers
from sdrt_export.quantization.observation import read_calibration
from sdrt_export.quantization.sensitivity import groups_of
from tests.export.families.xl_twin import (
    PROMPT,
    checkpoint,
)
from tests.export.quantization.integers import INTEGER_LAYERS, check_integers


@pytest.fixture(scope="module")
def exported(tiny_sdxl: Path) -> Artifact:
    return open_artifact(tiny_sdxl)


@pytest.fixture(scope="module")
def int8(exported: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The same in int8, calibrated with little, in pictures that are higher than wide."""
    if not has_int8():
        pytest.skip("without VNNI sums overflow: the U-Net falls below its floor")
    folder = tmp_path_factory.mktemp("sdxl-int8") / "int8"
    sampling = CalibrationSettings(samples=2, steps=2, size=(64, 80))
    settings = Int8Settings(sampling, folder.with_name("statistics.json"))
    return open_artifact(export(exported.root, folder, "int8", settings=settings).path)


def test_int8_holds_its_floors_and_names_the_layers_that_stayed(int8: Artifact) -> None:
    graphs = int8.manifest.graphs
    assert int8.manifest.stored("unet") == "int8"
    assert min(graphs["unet"].parity_db.values()) >= FLOOR_DB["int8"]
    for name, graph in graphs.items():
        stored = int8.manifest.stored(name)
        assert name == "unet" or min(graph.parity_db.values()) >= ENOUGH_DB
        assert (graph.quantization is not None) == (stored == "int8")
    quantization = graphs["unet"].quantization
    assert quantization is not None
    assert set(quantization.kept) < set(quantization.sqnr_db)
    assert "down_blocks.2.attentions.0.transformer_blocks.1.ff.net.2" in quantization.sqnr_db


@pytest.mark.parametrize("backend", INTEGER_LAYERS)
def test_every_layer_that_was_rounded_runs_in_integers(int8: Artifact, backend: str) -> None:
    check_integers(int8, backend, "unet")


def test_statistics_are_of_pictures_of_the_size_that_was_asked(int8: Artifact) -> None:
    networks = read_calibration(int8.root.with_name("statistics.json")).networks
    assert {"text_encoder", "text_encoder_2", "unet", "vae_decoder", "vae_encoder"} == set(networks)
    sides = {tensor.shape[2:] for tensor in networks["unet"].values() if len(tensor.shape) == 4}
    assert sides == {(10, 8), (5, 4), (3, 2)}  # of latents, halved and rounded up
    # Both halves of a guided step.
    assert {tensor.shape[0] for tensor in networks["unet"].values()} == {2}


def test_blocks_behind_each_other_are_measured_together(exported: Artifact) -> None:
    model = ir.load(exported.network("unet", ("onnx",)).files[0])
    layers = find_layers(model.graph)
    groups = [{layer.name for layer in group} for group in groups_of(layers)]
    assert sorted(name for group in groups for name in group) == sorted(
        layer.name for layer in layers
    )
    start = "down_blocks.2.attentions.0.transformer_blocks"
    assert {f"{start}.{i}.ff.net.2" for i in (0, 1)} in groups
    assert {f"{start}.{i}.attn1.to_{x}" for i in (0, 1) for x in "qkv"} in groups


@pytest.mark.parametrize(
    ("size", "message"), [((60, 64), "calibration width is 60"), ((64, 0), "height is 0")]
)
def test_a_size_that_no_picture_has_is_refused_before_the_work(
    exported: Artifact, tmp_path: Path, size: tuple[int, int], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        export(
            exported.root,
            tmp_path / "x",
            "int8",
            settings=Int8Settings(CalibrationSettings(size=size)),
        )
    assert not list(tmp_path.iterdir())


def params(**fields: Any) -> Params:
    size = {"width": 64, "height": 80, "steps": 2, "sampler": "ddim", "threads": 1}
    return Params.model_validate({"model": "tiny-sdxl", "prompt": PROMPT, **size, **fields})


@pytest.mark.parametrize("backend", INTEGER_LAYERS)
def test_bench_measures_it_as_other_models(int8: Artifact, backend: str, tmp_path: Path) -> None:
    asked = params(backend=backend, precision="int8")
    spec = RoundSpec(
        name="the cell",
        params=asked,
        measure=2,
        result=tmp_path / "result.json",
        folder=tmp_path,
        options={"artifact": str(int8.root)},
    )
    result = measure(spec, open_engine)
    assert {"text_encoder", "text_encoder_2", "unet", "vae_decoder"} == set(result.round.load_s)
    assert result.precision.model_dump(include={"requested", "stored", "executed"}) == {
        "requested": "int8",
        "stored": "int8",
        "executed": "int8",
    }
    quantization = int8.manifest.graphs["unet"].quantization
    assert quantization is not None
    assert result.precision.layer_shares["int8"] >= 0.95 * quantization.share
    assert result.picture is not None
    with Image.open(result.picture) as image:
        assert image.size == (64, 80)


def test_each_network_is_near_the_one_in_fp32(exported: Artifact, int8: Artifact) -> None:
    asked = params(backend="onnxruntime", precision="int8").model_dump()
    arguments = {"artifact": str(int8.root), "against": str(exported.root), "params": asked}
    sqnr_db = measure_sqnr(arguments)
    assert set(sqnr_db) == {"text_encoder", "text_encoder_2", "unet", "vae_decoder"}
    assert min(db for db in sqnr_db.values() if db is not None) > 15


def test_bench_counts_what_torch_counts(exported: Artifact) -> None:
    with torch.device("meta"):
        unet = checkpoint().unet()
        added = {"text_embeds": torch.empty(2, 96), "time_ids": torch.empty(2, 6)}
        with FlopCounterMode(display=False) as counter:
            unet(
                torch.empty(2, 4, 10, 8),
                torch.tensor(500.0),
                torch.empty(2, 77, 192),
                added_cond_kwargs=added,
            )
    total, attention = step_macs(exported, params(backend="openvino", precision="fp32"))
    assert total == counter.get_total_flops() // 2
    assert 0 < attention < total


def test_two_exports_of_it_are_compared(exported: Artifact, int8: Artifact) -> None:
    pipe, other = (Pipeline(model, open_backend("onnxruntime"), KEPT) for model in (exported, int8))
    comparison = compare(pipe, other, [Prompt(PROMPT)], options={"num_inference_steps": 2})
    assert 20 < comparison.pairs[0].psnr_db < 80
