"""Random LoRAs, and an export that has one in its weights."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from sdrt_export.cli.export import export as export_command
from sdrt_export.presets import read_preset
from sdrt_export.sources.random_weights import RandomCheckpoint
from tests.conftest import Sharing
from tests.export.sources.lora.merging import WEIGHT
from tests.export.sources.lora.writing import (
    ENDS,
    Key,
    Pair,
    kohya,
    random_lora,
    save,
)


@pytest.fixture(scope="module")
def tiny_checkpoint() -> RandomCheckpoint:
    return RandomCheckpoint.from_preset(*read_preset("tiny"))


@pytest.fixture(scope="module")
def lora(tiny_checkpoint: RandomCheckpoint) -> dict[Key, Pair]:
    return random_lora(tiny_checkpoint)


@pytest.fixture(scope="module", params=["tiny", "tiny-sdxl"])
def checkpoint(request: pytest.FixtureRequest) -> RandomCheckpoint:
    """Models with one text encoder, and with two."""
    return RandomCheckpoint.from_preset(*read_preset(request.param))


@pytest.fixture(scope="module")
def broad(checkpoint: RandomCheckpoint) -> dict[Key, Pair]:
    """A LoRA with all kinds of layers that are trained."""
    return random_lora(checkpoint, ends=(*ENDS, "linear_1", "linear_2", "upsamplers.0.conv"))


@pytest.fixture(scope="module")
def kohya_file(lora: dict[Key, Pair], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("lora") / "style.safetensors", kohya(lora))


@pytest.fixture(scope="module")
def exported(
    kohya_file: Path, tmp_path_factory: pytest.TempPathFactory, shared_traces: Sharing
) -> Path:
    """The preset `tiny` with the LoRA and defaults for it, through the command line."""
    folder = tmp_path_factory.mktemp("exported") / "tiny"
    options = ["--random", "tiny", "--format", "onnx", "--lora", f"{kohya_file}:{WEIGHT}"]
    options += ["--sampler", "TCDScheduler", "-O", "eta=0.5", "--spacing", "trailing"]
    options += ["--steps", "3", "--guidance-scale", "3"]
    with shared_traces():
        done = CliRunner().invoke(export_command, [*options, str(folder)], catch_exceptions=False)
    assert f"with style.safetensors:{WEIGHT}" in done.output
    return folder
