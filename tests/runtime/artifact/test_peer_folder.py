"""Folders that optimum exported open as if `sdrt export` had made them."""

from pathlib import Path

import numpy as np
import pytest

import sdrt
from sdrt.artifact import open_artifact
from sdrt.backends import open_backend
from sdrt.backends.input_casts import cast_feeds
from sdrt.diagnostics.fidelity import compare_with
from sdrt.diagnostics.info import describe_model
from sdrt.diagnostics.verify import verify_artifact
from sdrt.errors import ArtifactError
from sdrt.machine import has_bf16
from sdrt.manifest import TensorSpec
from tests.runtime.artifact.peers import PROMPT, config, with_onnx


@pytest.mark.parametrize(
    ("kind", "backend"),
    [
        ("onnx", "onnxruntime"),
        pytest.param("onnx", "openvino", marks=pytest.mark.slow),
        pytest.param("openvino", "openvino", marks=pytest.mark.slow),
    ],
)
def test_a_folder_makes_the_picture_of_our_export(
    folders: dict[str, Path], tiny_exports: dict[str, Path], kind: str, backend: str
) -> None:
    ours, theirs = (
        sdrt.load(path, backend=backend, precision="fp32")(
            PROMPT, seed=3, num_inference_steps=3, sampler="ddim"
        )
        for path in (tiny_exports["fp32"], folders[kind])
    )
    expected, found = (np.asarray(result.images[0], np.float32) for result in (ours, theirs))
    assert np.abs(expected - found).max() <= 1
    assert not theirs.warnings


def test_the_manifest_is_the_one_that_export_writes(
    folders: dict[str, Path], tiny_exports: dict[str, Path]
) -> None:
    """But for what nobody wrote down: figures, defaults of our own, a map for previews."""
    ours, theirs = (
        open_artifact(folder).manifest for folder in (tiny_exports["fp32"], folders["onnx"])
    )
    for name in ("family", "precision", "prediction", "schedule", "text_encoders"):
        assert getattr(theirs, name) == getattr(ours, name)
    assert theirs.latent == ours.latent.model_copy(update={"preview": None})
    assert theirs.graphs.keys() == ours.graphs.keys()
    for name, graph in theirs.graphs.items():
        assert graph.inputs == ours.graphs[name].inputs or name == "text_encoder"


def test_info_and_verify_say_that_nothing_can_be_checked(folders: dict[str, Path]) -> None:
    record, text = describe_model(str(folders["openvino"]))
    assert record["foreign"] is True
    assert "exported by another tool" in text
    assert "the files came without hashes" in text
    assert "made with: optimum-intel 2.2.0" in text
    report = verify_artifact(folders["onnx"])
    assert not report.is_recorded
    assert "without hashes to compare them with" in report.to_text()
    assert min(pairs["openvino against onnxruntime"] for pairs in report.graphs.values()) > 80


def test_a_latent_consistency_model_has_the_defaults_of_its_authors(onnx_folder: Path) -> None:
    config("unet", time_cond_proj_dim=32)(onnx_folder)
    defaults = open_artifact(onnx_folder).manifest.defaults
    assert (defaults.num_inference_steps, defaults.guidance_scale) == (4, 8.0)


def test_a_changed_file_is_another_model(onnx_folder: Path) -> None:
    before = open_artifact(onnx_folder)
    assert open_artifact(onnx_folder).hash == before.hash
    path = onnx_folder / "unet" / "model.onnx_data"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    assert open_artifact(onnx_folder).hash != before.hash
    with pytest.raises(ArtifactError, match="is corrupt"):  # changed since it was opened
        before.network("unet", ("onnx",))


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16")
def test_half_precision_is_named_and_executed_in_bf16(folders: dict[str, Path]) -> None:
    artifact = open_artifact(folders["fp16"])
    assert {artifact.manifest.stored(name) for name in artifact.manifest.graphs} == {"fp16"}
    result = sdrt.load(folders["fp16"])(PROMPT, seed=1, num_inference_steps=1)
    assert result.networks["unet"].stored == "fp16"
    assert result.networks["unet"].executed == "bf16"
    assert not result.warnings


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16")
def test_late_timesteps_are_told_right_in_bf16(folders: dict[str, Path]) -> None:
    """As in our own exports: OpenVINO alone loses 10 dB and more between the first and the last."""
    backend = open_backend("openvino", precision="bf16")
    artifact = open_artifact(folders["openvino"])
    compared = compare_with(artifact, backend, timesteps=[1, 500, 999], size=(64, 64))
    figures = compared.measure().graphs["unet"].by_timestep
    assert max(figures.values()) - min(figures.values()) < 3


def test_whole_timesteps_are_rounded_and_put_in_a_row() -> None:
    native = {"timestep": TensorSpec(name="timestep", dtype="int64", shape=("steps",))}
    feeds = {"timestep": np.array(981.6, np.float32), "sample": np.ones(3, np.float32)}
    result = cast_feeds(feeds, native)
    assert result["timestep"].dtype == np.int64
    assert result["timestep"].tolist() == [982]
    assert result["sample"] is feeds["sample"]


def test_an_encoder_that_draws_its_latents_itself_is_left_out(onnx_folder: Path) -> None:
    """Releases of optimum before 1.23 exported such; a seed would mean nothing."""
    with_onnx(lambda graph: setattr(graph.output[0], "name", "latent_sample"), "vae_encoder")(
        onnx_folder
    )
    assert "vae_encoder" not in open_artifact(onnx_folder).manifest.graphs
