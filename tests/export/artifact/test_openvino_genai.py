"""A copy for OpenVINO GenAI: whole timesteps and converted tokenizers, or nothing at all.

That GenAI opens it, and makes the same picture, is shown by `make compat`.
"""

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from click.testing import CliRunner

import sdrt
from sdrt.artifact import open_artifact
from sdrt.errors import ArtifactError, SdrtError, UnsupportedError, UsageError
from sdrt_export.artifact.openvino_genai import export_for_genai
from sdrt_export.cli.export import export


@pytest.fixture
def converter(tmp_path: Path) -> Path:
    """In place of the command of openvino_tokenizers."""
    path = tmp_path / "convert_tokenizer"
    path.write_text('#!/bin/sh\ntouch "$3/openvino_tokenizer.xml" "$3/openvino_tokenizer.bin"\n')
    path.chmod(0o755)
    return path


def test_the_copy_takes_whole_timesteps_and_makes_the_same_picture(
    tiny_exports: dict[str, Path], tmp_path: Path, converter: Path
) -> None:
    source = tiny_exports["bf16"]
    made = export_for_genai(open_artifact(source), tmp_path / "genai", converter)
    unet = ov.Core().read_model(made / "unet" / "openvino_model.xml")
    (timestep,) = (port for port in unet.inputs if "timestep" in port.get_names())
    assert timestep.get_element_type() == ov.Type.i64
    assert timestep.get_partial_shape() == ov.PartialShape([-1])
    assert (made / "tokenizer" / "openvino_tokenizer.xml").exists()
    assert not (made / "manifest.json").exists()
    assert not list(made.glob("*/*.onnx*"))
    weights = "vae_decoder/openvino_model.bin"
    assert (made / weights).samefile(source / weights)

    opened = open_artifact(made)
    assert opened.is_foreign
    assert opened.manifest.precision == "bf16"
    pictures = [
        np.asarray(
            sdrt.load(path, "openvino", precision="fp32")(
                "a", seed=2, num_inference_steps=2, sampler="ddim"
            ).images[0],
            np.float32,
        )
        for path in (source, made)
    ]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1


def test_nothing_is_left_of_a_failure(
    tiny_exports: dict[str, Path], tmp_path: Path, converter: Path
) -> None:
    converter.write_text('#!/bin/sh\necho "no such model" >&2\nexit 1\n')
    artifact, before = open_artifact(tiny_exports["bf16"]), set(tmp_path.iterdir())
    with pytest.raises(SdrtError, match="cannot convert .*tokenizer: no such model"):
        export_for_genai(artifact, tmp_path / "genai", converter)
    assert set(tmp_path.iterdir()) == before


def test_without_the_converter_it_says_what_to_install(
    tiny_exports: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(UnsupportedError, match=r"pip install openvino-tokenizers==\d+\.\d"):
        export_for_genai(open_artifact(tiny_exports["bf16"]), tmp_path / "genai")


def test_models_without_ir_and_of_others_are_refused(
    tiny_path: Path, tmp_path: Path, converter: Path
) -> None:
    with pytest.raises(ArtifactError, match="export the model again with --format openvino"):
        export_for_genai(open_artifact("demo"), tmp_path / "genai", converter)
    (tiny_path / "manifest.json").unlink()
    with pytest.raises(UnsupportedError, match="was exported by another tool"):
        export_for_genai(open_artifact(tiny_path), tmp_path / "genai", converter)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model"], "1 paths were given; expected: sdrt export --genai MODEL DEST"),
        (["model", "made", "--precision", "bf16"], "give its path and no other option"),
        (["model", "made", "--single-graph"], "give its path and no other option"),
    ],
)
def test_the_command_takes_two_paths(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(export, ["--genai", *arguments])
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)
