"""LoRAs at run time make the pictures of an export that has them in its weights."""

from pathlib import Path

import pytest
import torch

import sdrt
from sdrt.adapters.lora_loading import LoraSpec
from sdrt.artifact import open_artifact
from sdrt.backends import open_backend
from sdrt.manifest import Precision
from sdrt_bench.similarity import psnr_db
from sdrt_export.sources.lora import with_loras
from sdrt_export.sources.random_weights import RandomCheckpoint
from tests.conftest import Sharing
from tests.data.make_tiny import committed_checkpoint, committed_preset
from tests.export.export_parts import export_parts
from tests.export.sources.lora.writing import Key, Pair, kohya, random_lora, save
from tests.runtime.adapters.test_lora import picture

WEIGHT = 0.7
ENGINES = ("onnxruntime", "openvino")
FLOATS: tuple[Precision, ...] = ("fp32", "bf16")
Exports = dict[str, Path]


@pytest.fixture(scope="module")
def checkpoint() -> RandomCheckpoint:
    return committed_checkpoint()


@pytest.fixture(scope="module")
def lora(checkpoint: RandomCheckpoint) -> dict[Key, Pair]:
    return random_lora(checkpoint)


@pytest.fixture(scope="module")
def ink(lora: dict[Key, Pair], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("lora") / "ink.safetensors", kohya(lora))


@pytest.fixture(scope="module")
def merged(
    checkpoint: RandomCheckpoint,
    ink: Path,
    tiny_exports: Exports,
    shared_traces: Sharing,
    tmp_path_factory: pytest.TempPathFactory,
) -> Exports:
    """Exports with the LoRA in their weights."""
    both, preset = with_loras(checkpoint, [LoraSpec(ink, WEIGHT)]), committed_preset()
    root, changed = tmp_path_factory.mktemp("merged"), ["text_encoder", "unet"]
    with shared_traces():
        for precision in FLOATS:
            rest = tiny_exports[precision]
            export_parts(changed, both, preset, root / precision, rest, precision)
    return {precision: root / precision for precision in FLOATS}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("precision", FLOATS)
def test_graphs_name_every_layer_as_torch_does(
    checkpoint: RandomCheckpoint, tiny_exports: Exports, precision: str, engine: str
) -> None:
    artifact, backend = open_artifact(tiny_exports[precision]), open_backend(engine)
    for part in ("text_encoder", "unet"):
        layers = {
            name: tuple(module.weight.shape)
            for name, module in getattr(checkpoint, part)().named_modules()
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)
            or name == "embeddings.token_embedding"
        }
        assert backend.layers(artifact.network(part, backend.formats)) == layers


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("precision", FLOATS)
def test_the_picture_is_that_of_a_merged_export(
    tiny_exports: Exports, merged: Exports, ink: Path, precision: str, engine: str
) -> None:
    plain, both = (
        sdrt.load(exports[precision], engine, precision="fp32")
        for exports in (tiny_exports, merged)
    )
    expected = picture(both)
    assert psnr_db(picture(plain), expected) < 35
    plain.use_loras(f"{ink}:{WEIGHT}")
    assert psnr_db(picture(plain), expected) >= 50
