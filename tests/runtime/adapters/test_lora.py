"""LoRAs at run time: swapped, recorded, refused where they do not fit; all without torch."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

import sdrt
from sdrt.artifact import Artifact, open_artifact
from sdrt.backends import open_backend
from sdrt.cli.generate import generate
from sdrt.diagnostics.info import describe_picture
from sdrt.errors import ArtifactError, UnsupportedError, UsageError
from sdrt.files.checksums import sha256
from sdrt.images.metadata import read_png
from sdrt.pipeline import Pipeline
from sdrt_bench.similarity import psnr_db
from tests.runtime.adapters.lora_files import Key, Pair, Tensors, kohya, random_lora, save

WEIGHT = 0.7
ENGINES = ("onnxruntime", "openvino")
SLOW_OPENVINO = pytest.param("openvino", marks=pytest.mark.slow)
Exports = dict[str, Path]
Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def lora(tiny_exports: Exports) -> dict[Key, Pair]:
    return random_lora(open_artifact(tiny_exports["fp32"]))


@pytest.fixture(scope="module")
def ink(lora: dict[Key, Pair], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("lora") / "ink.safetensors", kohya(lora))


def picture(pipe: Pipeline) -> Pixels:
    result = pipe("a boat", seed=3, num_inference_steps=6, guidance_scale=4.0)
    return np.asarray(result.images[0])


@pytest.mark.parametrize("engine", ["onnxruntime", SLOW_OPENVINO])
def test_they_are_swapped_while_the_model_is_open(
    tiny_exports: Exports, ink: Path, engine: str
) -> None:
    pipe = sdrt.load(tiny_exports["fp32"], engine, precision="fp32")
    plain = picture(pipe)
    pipe.use_loras(f"{ink}:0.5", f"{ink}:0.25")
    twice = picture(pipe)
    pipe.use_loras(f"{ink}:0.75")
    assert psnr_db(picture(pipe), twice) >= 50
    assert psnr_db(plain, twice) < 35
    pipe.use_loras(f"{ink}:0.75", f"{ink}:-0.75")
    assert psnr_db(picture(pipe), plain) >= 50
    with pytest.raises(UsageError, match="the weight is 'much'"):
        pipe.use_loras(f"{ink}:much")
    pipe.use_loras()
    assert np.array_equal(picture(pipe), plain)


@pytest.mark.slow
def test_changes_too_small_for_bf16_are_not_lost(
    tiny_exports: Exports, lora: dict[Key, Pair], tmp_path: Path
) -> None:
    """A fiftieth as strong, most of a weight's changes are less than half of its last bit."""
    weak = 0.02
    file = save(tmp_path / "weak.safetensors", kohya(lora))
    for engine in ENGINES:
        exact = sdrt.load(tiny_exports["fp32"], engine, precision="fp32")
        rounded = sdrt.load(tiny_exports["bf16"], engine, precision="fp32")
        changes = []
        for pipe in (exact, rounded):
            before = latents(pipe)
            pipe.use_loras(f"{file}:{weak}")
            changes.append((latents(pipe) - before).ravel())
        share = float(changes[0] @ changes[1] / (changes[0] @ changes[0]))
        assert 0.7 < share < 1.3


def latents(pipe: Pipeline) -> npt.NDArray[np.float32]:
    *_, last = pipe.start("a boat", seed=3, num_inference_steps=6, guidance_scale=4.0)
    return last.latents


def test_a_picture_says_what_was_added(tiny_exports: Exports, ink: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    options = ["a boat", "-m", str(tiny_exports["fp32"]), "-o", str(path), "--steps", "2"]
    record = {"file": "ink.safetensors", "sha256": sha256(ink), "weight": WEIGHT}
    options += ["--lora", f"{ink}:{WEIGHT}", "--lora", str(ink), "--json"]
    done = CliRunner().invoke(generate, options, catch_exceptions=False)
    (image,) = json.loads(done.stdout)["images"]
    metadata = read_png(path)
    assert image["loras"] == metadata["sdrt"]["loras"] == [record, {**record, "weight": 1.0}]
    assert metadata["parameters"].startswith(f"a boat <lora:ink:{WEIGHT}> <lora:ink:1>\n")
    assert "ink.safetensors" in describe_picture(path)[1]


def stored_in_int8(artifact: Artifact) -> Artifact:
    manifest = artifact.manifest
    unet = manifest.graphs["unet"].model_copy(update={"precision": "int8"})
    graphs = {**manifest.graphs, "unet": unet}
    return replace(artifact, manifest=manifest.model_copy(update={"graphs": graphs}))


def test_integers_are_left_alone(tiny: Artifact, ink: Path) -> None:
    pipe = Pipeline(stored_in_int8(tiny), open_backend("onnxruntime"))
    with pytest.raises(UnsupportedError, match="merge the LoRA when the model is exported"):
        pipe.use_loras(str(ink))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_graph_without_its_layers_names_is_to_be_exported_again(
    engine: str, tiny: Artifact, tmp_path: Path
) -> None:
    """Older releases wrote such."""
    backend = open_backend(engine)
    network = tiny.network("unet", backend.formats)
    copies = tuple(Path(shutil.copy(file, tmp_path)) for file in network.files)
    name = b"network.mid_block.attentions.0.proj_in.weight"
    content = copies[0].read_bytes()
    assert name in content
    copies[0].write_bytes(content.replace(name, b"v" * len(name)))
    with pytest.raises(ArtifactError, match="which layer 1 of its weights .* export the model"):
        backend.layers(replace(network, files=copies))


@pytest.mark.slow
def test_the_embedded_model_takes_loras(demo: Artifact, tmp_path: Path) -> None:
    file = save(tmp_path / "ink.safetensors", kohya(random_lora(demo, size=0.02)))
    options: dict[str, Any] = {"seed": 7, "num_inference_steps": 2}
    pipe = Pipeline(demo, open_backend("onnxruntime"))
    plain = pipe("a red boat", **options).images[0]
    pipe.use_loras(str(file))
    assert psnr_db(np.asarray(pipe("a red boat", **options).images[0]), np.asarray(plain)) < 35
    pipe.use_loras(f"{file}:0")
    assert pipe("a red boat", **options).images[0] == plain


ONE = np.ones((), np.float32)
Break = Callable[[Tensors], Tensors]


@pytest.mark.parametrize(
    ("broken", "error", "message"),
    [
        (lambda t: t | {"lora_unet_nowhere.alpha": ONE}, ArtifactError,
         "1 of .* tensors belong to no layer of the model: lora_unet_nowhere.alpha"),
        (lambda t: t | {"lora_te2_text_model_encoder_layers_0_mlp_fc1.alpha": ONE},
         UsageError, "it is a LoRA of Stable Diffusion XL"),
        (lambda t: {name: tensor[..., :3] if tensor.ndim else tensor for name, tensor in t.items()},
         UsageError, "does not belong to this model"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_changes_nothing(
    tiny_exports: Exports,
    lora: dict[Key, Pair],
    tmp_path: Path,
    broken: Break,
    error: type[Exception],
    message: str,
) -> None:
    pipe = sdrt.load(tiny_exports["fp32"], "onnxruntime")
    before = picture(pipe)
    loaded = pipe.loaded
    with pytest.raises(error, match=message):
        pipe.use_loras(str(save(tmp_path / "a.safetensors", broken(kohya(lora)))))
    assert pipe.loaded == loaded
    assert np.array_equal(picture(pipe), before)
