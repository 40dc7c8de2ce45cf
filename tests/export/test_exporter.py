"""An export is published whole, or not at all."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch

from sdrt.artifact import open_artifact
from sdrt.backends import open_backend
from sdrt.errors import ParityError, UsageError
from sdrt.files.checksums import sha256
from sdrt.images.latent_preview import fit_preview
from sdrt.pipeline import Pipeline
from sdrt_export import exporter
from sdrt_export.graphs.networks import TextEncoderModule
from tests.data.make_tiny import committed_checkpoint
from tests.export.graphs.test_graphs import NETWORKS
from tests.export.shared_traces import MadeOnce, shared_trace


def files_of(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): sha256(path)
        for path in root.rglob("*")
        if path.is_file()
    }


def test_the_manifest_lists_every_file_and_nothing_else(exported_tiny: dict[str, Path]) -> None:
    for root in exported_tiny.values():
        listed = {name: r.sha256 for name, r in open_artifact(root).manifest.files.items()}
        hashes = files_of(root)
        del hashes["manifest.json"]
        assert listed == hashes


def test_previews_are_fitted_to_the_checkpoints_decoder(exported_tiny: dict[str, Path]) -> None:
    artifact = open_artifact(exported_tiny["fp32"])
    latent, pipe = artifact.manifest.latent, Pipeline(artifact, open_backend("onnxruntime"))
    again = fit_preview(latent, lambda latents: np.stack(pipe.decode(latents)))
    assert latent.preview is not None
    assert np.abs(latent.preview.matrix).max() > 0.001
    np.testing.assert_allclose(latent.preview.matrix, again.matrix, atol=2e-4)
    np.testing.assert_allclose(latent.preview.bias, again.bias, atol=2e-4)


def test_the_layout_is_that_of_diffusers(exported_tiny: dict[str, Path]) -> None:
    root = exported_tiny["fp32"]
    index = json.loads((root / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
    assert index["unet"] == ["diffusers", "UNet2DConditionModel"]
    for network in NETWORKS:
        names = {path.name for path in (root / network).iterdir()}
        assert names == {
            *("config.json", "model.onnx", "model.onnx_data"),
            *("openvino_model.xml", "openvino_model.bin"),
        }
    assert (root / "tokenizer" / "tokenizer.json").is_file()
    assert (root / "scheduler" / "scheduler_config.json").is_file()


def test_a_wrong_second_output_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = TextEncoderModule.forward

    def broken(
        self: TextEncoderModule, input_ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        last, layers = forward(self, input_ids)
        return last, layers + 0.01 * torch.compiler.is_exporting()

    monkeypatch.setattr(TextEncoderModule, "forward", broken)
    with pytest.raises(ParityError, match="text_encoder on onnxruntime is .* dB"):
        exporter.export(committed_checkpoint(), tmp_path / "out", formats=["onnx"])
    assert list(tmp_path.iterdir()) == []


def test_a_graph_below_the_floor_is_not_published(
    tmp_path: Path,
    exported_tiny: dict[str, Path],
    made_once: MadeOnce,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One weight of the traced U-Net is changed on its way to the file."""
    destination = Path(shutil.copytree(exported_tiny["fp32"], tmp_path / "out"))
    before = files_of(destination)

    def broken(network: Any) -> ir.Model:
        model = shared_trace(network, made_once)
        if network.name == "unet":
            bias = model.graph.initializers["network.conv_out.bias"]
            assert bias.const_value is not None
            bias.const_value = ir.tensor(bias.const_value.numpy() + 0.01, name=bias.name)
        return model

    monkeypatch.setattr(exporter, "trace", broken)
    with pytest.raises(ParityError, match="unet on onnxruntime is .* dB .*nothing was published"):
        exporter.export(committed_checkpoint(), destination)
    assert files_of(destination) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp16"}, "unknown precision 'fp16'; known: fp32, bf16, int8"),
        ({"formats": ("tflite",)}, "unknown format: 'tflite'; known: onnx, openvino"),
        ({"formats": ()}, "unknown format: no format"),
    ],
)
def test_unknown_precisions_and_formats_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        exporter.export(committed_checkpoint(), tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []
