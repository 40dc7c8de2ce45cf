"""Runs with ControlNets: when they run and on what, what is kept, and what is refused."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.artifact.controlnet import HINT
from sdrt.backends.fake import FakeBackend
from sdrt.errors import ArtifactError, OutOfMemoryError, SdrtError, UnsupportedError
from sdrt.images.metadata import read_png
from sdrt.pipeline import Pipeline
from tests.runtime.control_folders import NAMES, pretend_controlled, write_controlnet
from tests.runtime.fakes import SMALL, pixels

Calls = list[tuple[str, dict[str, Array]]]
HALF = Image.new("RGB", (64, 64), (128, 128, 128))


@pytest.fixture
def calls() -> Calls:
    return []


@pytest.fixture
def backend(calls: Calls) -> FakeBackend:
    def compute(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        calls.append((name, dict(feeds)))
        return pretend_controlled(name, feeds)

    return FakeBackend(compute)


@pytest.fixture
def pipe(tiny: Artifact, backend: FakeBackend) -> Pipeline:
    return Pipeline(tiny, backend)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return write_controlnet(tmp_path / "canny")


def runs_of(calls: Calls, name: str) -> list[dict[str, Array]]:
    return [feeds for called, feeds in calls if called == name]


def test_it_runs_in_the_steps_of_its_range_alone(pipe: Pipeline, net: Path, calls: Calls) -> None:
    control = sdrt.Control(net, HALF, weight=0.5, start=0.25, end=0.75)
    pipe("a boat", controls=[control], **{**SMALL, "num_inference_steps": 4})
    assert len(runs_of(calls, "controlnet_canny")) == 2
    added = [feeds[NAMES[0]].mean() for feeds in runs_of(calls, "unet")]
    assert np.allclose(added, [0, 0.5 * 128 / 255, 0.5 * 128 / 255, 0])
    (first, _) = runs_of(calls, "controlnet_canny")
    assert first[HINT].shape == (2, 3, 64, 64)
    assert np.allclose(first[HINT], 128 / 255)


def test_several_add_up_and_a_shared_one_is_loaded_once(
    pipe: Pipeline, net: Path, backend: FakeBackend, calls: Calls, tmp_path: Path
) -> None:
    other = write_controlnet(tmp_path / "elsewhere" / "canny")
    controls = [sdrt.Control(net, HALF), sdrt.Control(net, HALF, 0.5), sdrt.Control(other, HALF)]
    pipe("a boat", controls=controls, **SMALL)
    assert sorted(backend.opened).count("controlnet_canny") == 1
    assert {"controlnet_canny", "controlnet_canny_2"} <= set(backend.opened)
    assert np.allclose(runs_of(calls, "unet")[0][NAMES[-1]], 2.5 * 128 / 255)


def test_guessing_guides_the_prompts_branch_alone(pipe: Pipeline, net: Path, calls: Calls) -> None:
    pipe("a boat", controls=[sdrt.Control(net, HALF)], guess_mode=True, **SMALL)
    assert len(runs_of(calls, "controlnet_canny")[0]["sample"]) == 1
    feeds = runs_of(calls, "unet")[0]
    level = 128 / 255
    for name, share in ((NAMES[0], 0.1), (NAMES[-1], 1.0)):
        assert np.allclose(feeds[name][0], 0)  # the negative prompt's
        assert np.allclose(feeds[name][1], share * level)


def test_a_pooled_one_guides_one_branch_with_its_whole_weight(
    pipe: Pipeline, calls: Calls, tmp_path: Path
) -> None:
    shuffle = write_controlnet(tmp_path / "shuffle", is_pooled=True)
    pipe("a boat", controls=[sdrt.Control(shuffle, HALF)], **SMALL)
    feeds = runs_of(calls, "unet")[0]
    for name in NAMES:
        assert np.allclose(feeds[name].mean(axis=(1, 2, 3)), [0, 128 / 255])


def test_branches_in_turn_give_the_same_picture(pipe: Pipeline, net: Path) -> None:
    def picture(**options: Any) -> np.ndarray:
        controls = [sdrt.Control(net, HALF)]
        made = pipe("a boat", controls=controls, seed=1, guess_mode=True, **SMALL, **options)
        return pixels(made.images[0])

    assert np.abs(picture() - picture(guidance_split=True)).max() <= 1


def test_steps_with_kept_features_use_kept_results(pipe: Pipeline, net: Path, calls: Calls) -> None:
    def compute(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        calls.append((name, dict(feeds)))
        if name == "unet_shallow":
            rows = feeds["sample"]
            return {"out_sample": np.zeros_like(rows)}
        outputs = dict(pretend_controlled(name, feeds))
        if name == "unet":
            outputs["deep_features"] = np.zeros((len(feeds["sample"]), 8, 8, 8), np.float32)
        return outputs

    pipe = Pipeline(pipe.artifact, FakeBackend(compute))
    options = {**SMALL, "num_inference_steps": 4, "cache_interval": 2}
    pipe("a boat", controls=[sdrt.Control(net, HALF)], **options)
    assert len(runs_of(calls, "controlnet_canny")) == 2
    for feeds in runs_of(calls, "unet_shallow"):
        assert np.allclose(feeds[NAMES[0]], 128 / 255)


def test_an_inpainting_models_mask_is_not_for_the_controlnet(
    pipe: Pipeline, net: Path, calls: Calls
) -> None:
    """It was trained on latents alone."""
    from sdrt.networks.controls import ActiveControl
    from sdrt.networks.fp32_fallback import GuardedGraph
    from sdrt.networks.run_state import RunState
    from sdrt.request.controls import ControlRequest

    name = pipe.networks.controlnets.name_of(str(net))
    manifest = pipe.networks.controlnets[name].manifest
    shapes = {
        "sample": (1, 4, 8, 8),
        "timestep": (),
        "encoder_hidden_states": (1, 77, 16),
        HINT: (1, 3, 64, 64),
    }
    graph = GuardedGraph(pipe.networks, name, shapes, RunState())
    request = ControlRequest(str(net), HALF, None, 1.0, 0.0, 1.0)
    control = ActiveControl(graph, manifest, request, request.tensor(64, 64), guesses=False)
    feeds = {
        "sample": np.arange(9 * 64, dtype=np.float32).reshape(1, 9, 8, 8),
        "timestep": np.array(3, np.float32),
        "encoder_hidden_states": np.zeros((1, 77, 16), np.float32),
    }
    control.run(feeds, RunState().cancellation)
    assert np.array_equal(calls[-1][1]["sample"], feeds["sample"][:, :4])


def test_the_second_pass_gets_the_hint_in_its_size(
    pipe: Pipeline, net: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = pipe.backend
    assert isinstance(fake, FakeBackend)
    plain = fake.compute

    def with_encoder(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name == "vae_encoder":
            rows, _, height, width = feeds["sample"].shape
            return {"latent_parameters": np.zeros((rows, 8, height // 8, width // 8), np.float32)}
        return plain(name, feeds)

    monkeypatch.setattr(fake, "compute", with_encoder)
    pipe("a boat", controls=[sdrt.Control(net, HALF)], hires=2.0, **SMALL)
    sizes = [feeds[HINT].shape[2:] for feeds in runs_of(calls, "controlnet_canny")]
    assert (sizes[0], sizes[-1]) == ((64, 64), (128, 128))


def test_the_picture_tells_of_its_controls(pipe: Pipeline, net: Path, tmp_path: Path) -> None:
    control = sdrt.Control(net, HALF, 0.5, 0.1, 0.9, "tile")
    pipe("a boat", controls=[control], **SMALL).save(tmp_path / "boat.png")
    record = read_png(tmp_path / "boat.png")["sdrt"]
    (told,) = record["controls"]
    assert told["controlnet"] == "canny"
    assert (told["weight"], told["start"], told["end"]) == (0.5, 0.1, 0.9)
    assert told["preprocessor"] == "tile"
    assert len(told["hint"]) == len(told["controlnet_hash"]) == 64
    assert record["networks"]["controlnet_canny"]["stored"] == "fp32"
    pipe("a boat", **SMALL).save(tmp_path / "plain.png")
    assert not {"controls", "guess_mode"} & read_png(tmp_path / "plain.png")["sdrt"].keys()


def test_what_another_run_does_not_use_leaves_memory(
    pipe: Pipeline, net: Path, tmp_path: Path
) -> None:
    pose = write_controlnet(tmp_path / "pose")
    pipe("a boat", controls=[sdrt.Control(net, HALF)], **SMALL)
    assert "controlnet_canny" in pipe.loaded
    pipe("a boat", controls=[sdrt.Control(pose, HALF)], **SMALL)
    assert "controlnet_pose" in pipe.loaded
    assert "controlnet_canny" not in pipe.loaded


def test_memory_is_planned_with_its_weights(tiny: Artifact, net: Path, tmp_path: Path) -> None:
    manifest = json.loads((net / "manifest.json").read_text())
    for record in manifest["files"].values():
        record["size"] = 5_000_000_000
    (net / "manifest.json").write_text(json.dumps(manifest))
    fake = FakeBackend(pretend_controlled, name="onnxruntime")
    pipe = Pipeline(tiny, fake, max_memory="4G")
    _ = pipe.start("a boat", **SMALL).plan
    with pytest.raises(OutOfMemoryError, match="while unet runs"):
        _ = pipe.start("a boat", controls=[sdrt.Control(net, HALF)], **SMALL).plan


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: p / "nowhere", ArtifactError, "nowhere is not there; expected a folder"),
        (lambda p: p, ArtifactError, "is an? .*; expected a folder made of a ControlNet by"),
        (
            lambda p: write_controlnet(p / "xl", family="sdxl"),
            UnsupportedError,
            "xl is for sdxl, and 'tiny' is sd1; expected one that was trained",
        ),
        (
            lambda p: write_controlnet(p / "wide", width=768),
            UnsupportedError,
            "for embeddings of width 768, and those of 'tiny' have 16",
        ),
        (
            lambda p: write_controlnet(p / "short", levels=(0, 0)),
            ArtifactError,
            "outputs that are not those of a ControlNet",
        ),
    ],
)
def test_what_is_no_controlnet_for_the_model_is_refused(
    pipe: Pipeline,
    tmp_path: Path,
    make: Callable[[Path], Path],
    error: type[SdrtError],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        pipe.start("a boat", controls=[sdrt.Control(make(tmp_path), HALF)])


def test_model_and_controlnet_are_told_apart(pipe: Pipeline, net: Path) -> None:
    with pytest.raises(ArtifactError, match="is a ControlNet, not a model.*--control"):
        sdrt.load(net)
    with pytest.raises(ArtifactError, match="is a model, not a ControlNet"):
        pipe.start("a boat", controls=[sdrt.Control(pipe.artifact.root, HALF)])


def test_a_manifest_that_cannot_be_read_is_not_taken_for_a_model_s(
    pipe: Pipeline, net: Path
) -> None:
    (net / "manifest.json").write_text('{"schema": 1, "kind": "controlnet"')
    with pytest.raises(ArtifactError, match="is not valid JSON.*export the model again"):
        pipe.start("a boat", controls=[sdrt.Control(net, HALF)])


def test_a_unet_of_other_channels_is_refused(pipe: Pipeline, net: Path, tiny_path: Path) -> None:
    config = tiny_path / "unet" / "config.json"
    content = json.loads(config.read_text()) | {"block_out_channels": [32, 64]}
    config.write_text(json.dumps(content))
    other = sdrt.load(tiny_path, backend="onnxruntime")
    with pytest.raises(UnsupportedError, match="of 8, 16 channels, and that of 'tiny' has 32, 64"):
        other.start("a boat", controls=[sdrt.Control(net, HALF)])
