"""U-Nets that are told more: the strength of guidance (LCM), or a picture to edit."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    LatentConsistencyModelImg2ImgPipeline,
    LatentConsistencyModelPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionInstructPix2PixPipeline,
)
from PIL import Image

from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends.cancellation import Cancellation
from sdrt.diagnostics.conformance.recorder import GoldenPlan, record
from sdrt.diagnostics.conformance.replay import replay
from sdrt.errors import UnsupportedError, UsageError
from sdrt.networks.fp32_fallback import GuardedGraph
from sdrt_bench.bench.cells import Models
from sdrt_bench.compare.run import complete
from sdrt_bench.similarity import psnr_db
from sdrt_export.export_options import DefaultOptions
from sdrt_export.presets import read_preset
from sdrt_export.single_graph.publish import export_single_graph
from sdrt_export.sources.diffusers_folder import FolderCheckpoint
from sdrt_export.sources.prediction_probe import added_inputs
from sdrt_export.sources.random_weights import RandomCheckpoint
from tests.export.families.kept_pipelines import kept_pipeline
from tests.export.families.unet_twin_pipelines import (
    EDIT,
    LCM,
    PROMPT,
    theirs,
    they_paint,
    we_paint,
)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    rows, columns = np.mgrid[0:80, 0:64]  # height and width are told apart
    shades = np.stack([rows * 3, columns * 4, 255 - rows - columns * 2], axis=2)
    return Image.fromarray(shades.astype(np.uint8))


@pytest.fixture(autouse=True)
def _text_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers looks for the network where older versions of transformers have it."""
    from transformers import CLIPTextModel

    monkeypatch.setattr(CLIPTextModel, "text_model", property(lambda self: self), raising=False)


@pytest.fixture(scope="session")
def lcm(unet_twins: Callable[[str], Artifact]) -> Artifact:
    return unet_twins(LCM)


@pytest.fixture(scope="session")
def edit(unet_twins: Callable[[str], Artifact]) -> Artifact:
    return unet_twins(EDIT)


# ---- Latent consistency models


def test_guidance_is_an_input_named_as_optimum_names_it(lcm: Artifact) -> None:
    graph = lcm.manifest.graphs["unet"]
    names = ["sample", "timestep", "encoder_hidden_states", "timestep_cond"]
    assert [graph_input.name for graph_input in graph.inputs] == names
    assert graph.inputs[-1].shape == ("batch", 32)
    assert min(graph.parity_db.values()) >= 80
    defaults = lcm.manifest.defaults
    assert (defaults.sampler, defaults.num_inference_steps) == ("lcm", 4)
    assert defaults.guidance_scale == 8
    index = json.loads((lcm.root / "model_index.json").read_text())
    assert index["_class_name"] == "LatentConsistencyModelPipeline"
    assert index["scheduler"] == ["diffusers", "LCMScheduler"]


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("guidance", [1.0, 8.0])
def test_pictures_of_an_lcm_equal_those_of_diffusers(
    lcm: Artifact, backend: str, guidance: float
) -> None:
    size: dict[str, Any] = {"width": 64, "height": 80}
    options = {"num_inference_steps": 4, "guidance_scale": guidance, **size}
    expected = they_paint(LCM, LatentConsistencyModelPipeline, **options)
    pipe = kept_pipeline(lcm, backend)
    assert psnr_db(expected, we_paint(pipe, guidance_scale=guidance, **size)) >= 50
    other = 8.0 if guidance == 1 else 1.0
    assert psnr_db(expected, we_paint(pipe, guidance_scale=other, **size)) < 50


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_an_lcm_makes_all_its_steps_over_a_picture(
    lcm: Artifact, picture: Image.Image, strength: float
) -> None:
    options: dict[str, Any] = {"image": picture, "strength": strength, "num_inference_steps": 3}
    cls = LatentConsistencyModelImg2ImgPipeline
    expected = they_paint(LCM, cls, guidance_scale=8.0, **options)
    pipe = kept_pipeline(lcm)
    assert len(pipe.start(PROMPT, **options)) == 3
    assert psnr_db(expected, we_paint(pipe, **options)) >= 50


def test_an_lcm_paints_under_a_mask_as_diffusers(lcm: Artifact, picture: Image.Image) -> None:
    shades = np.zeros((80, 64), np.uint8)
    shades[16:56, 24:48] = 255  # whole blocks of 8, where diffusers' mask is exact too
    mask = Image.fromarray(shades)
    options = {"image": picture, "mask_image": mask, "width": 64, "height": 80, "strength": 1.0}
    options |= {"guidance_scale": 8.0, "num_inference_steps": 4}
    expected = they_paint(LCM, StableDiffusionInpaintPipeline, **options)
    found = we_paint(kept_pipeline(lcm), image=picture, mask=mask, paste=False)
    assert psnr_db(expected, found) >= 50


def test_a_second_pass_of_an_lcm_makes_all_its_steps(lcm: Artifact) -> None:
    run = kept_pipeline(lcm).start(PROMPT, seed=1, hires=1.5, hires_strength=0.4, hires_steps=2)
    steps = list(run)
    assert [step.index for step in steps] == list(range(6))
    assert {step.count for step in steps} == {len(run)} == {6}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"guidance_scale": 0.5},
            "which its U-Net takes as an input, is 0.5; expected .* from 1 up",
        ),
        ({"num_inference_steps": 51}, "a model distilled on 50 takes from 1 to 50"),
        ({"image_guidance_scale": 2.0}, "is for models that edit pictures"),
        ({"guidance_rescale": 0.7}, "guidance_rescale was given, and .* guidance inside"),
        ({"guidance_start": 0.5}, "guidance_start was given, and .* makes a step of one answer"),
        ({"guidance_end": 0.5}, "guidance_end was given, .*; leave guidance_end out"),
        ({"guidance_split": True}, "guidance_split was given, .* guidance_scale still counts"),
    ],
)
def test_what_an_lcm_cannot_do_is_refused(
    lcm: Artifact, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        kept_pipeline(lcm).start(PROMPT, **options)


def test_an_lcm_says_that_a_negative_prompt_has_no_effect(lcm: Artifact) -> None:
    run = kept_pipeline(lcm).start(PROMPT, negative_prompt="fog", num_inference_steps=1)
    (warning,) = run.result().warnings
    assert warning.startswith("without effect: negative_prompt, because the U-Net of ")
    assert warning.endswith(" has guidance inside")


def test_a_strength_with_fewer_timesteps_than_steps_is_refused(
    lcm: Artifact, picture: Image.Image
) -> None:
    with pytest.raises(UsageError, match="from 1 to 50, and at a strength of 0.05 to 2"):
        kept_pipeline(lcm).start(PROMPT, image=picture, strength=0.05, num_inference_steps=3)


# ---- Models that edit pictures


def test_the_picture_to_edit_is_beside_the_latents(edit: Artifact) -> None:
    manifest = edit.manifest
    assert (manifest.conditions, manifest.edits, manifest.takes_mask) == (4, True, False)
    assert min(manifest.graphs["unet"].parity_db.values()) >= 80
    index = json.loads((edit.root / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionInstructPix2PixPipeline"


GUIDANCES: list[dict[str, Any]] = [
    {},
    {"guidance_scale": 5.0, "image_guidance_scale": 2.5, "negative_prompt": "fog"},
    {"image_guidance_scale": 1.0},
    {"guidance_scale": 1.0},
]


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("options", GUIDANCES)
def test_edited_pictures_equal_those_of_diffusers(
    edit: Artifact, picture: Image.Image, backend: str, options: dict[str, Any]
) -> None:
    shared = {"image": picture, "num_inference_steps": 6, **options}
    cls = StableDiffusionInstructPix2PixPipeline
    expected = they_paint(EDIT, cls, **{"guidance_scale": 7.5, **shared})
    pipe = kept_pipeline(edit, backend)
    assert psnr_db(expected, we_paint(pipe, **shared)) >= 50
    assert psnr_db(expected, we_paint(pipe, seed=4, **shared)) < 30


def test_sides_in_turn_and_pictures_at_once_give_the_same(
    edit: Artifact, picture: Image.Image
) -> None:
    pipe = kept_pipeline(edit)
    alone = we_paint(pipe, image=picture, guidance_split=True)
    both = pipe(PROMPT, seed=[5, 3], num_images_per_prompt=2, image=picture)
    assert psnr_db(alone, np.asarray(both.images[1])) >= 50


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({}, [3, 3]),
        ({"image_guidance_scale": 1.0}, [2, 2]),
        ({"guidance_scale": 1.0}, [1, 1]),
        ({"guidance_split": True}, [1, 1, 1, 1, 1, 1]),
        ({"guidance_end": 0.5}, [3, 1]),
    ],
)
def test_a_guided_step_has_a_side_without_the_picture(
    edit: Artifact,
    picture: Image.Image,
    options: dict[str, Any],
    rows: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, inner = [], GuardedGraph.run

    def see(
        self: GuardedGraph, feeds: Mapping[str, Array], cancellation: Cancellation | None = None
    ) -> Any:
        seen.extend([feeds["sample"]] if "timestep" in feeds else [])
        return inner(self, feeds, cancellation)

    monkeypatch.setattr(GuardedGraph, "run", see)
    run = kept_pipeline(edit).start(PROMPT, seed=1, image=picture, num_inference_steps=2, **options)
    run.result()
    assert [len(sample) for sample in seen] == rows
    if len(seen[0]) == 3:
        assert [bool(row[4:].any()) for row in seen[0]] == [True, True, False]
    branches = 3 if "guidance_split" in options else max(rows)
    assert run.request.branches == run.plan.branches == branches
    assert run.plan.is_doubled == (max(rows) > 1)


def test_an_edit_says_how_it_was_guided(edit: Artifact, picture: Image.Image) -> None:
    made = kept_pipeline(edit)(PROMPT, seed=1, image=picture, num_inference_steps=1)
    parameters = made.parameters[0]
    assert parameters.image_guidance_scale == 1.5
    assert parameters.strength is parameters.paste is None
    assert set(parameters.init_image) == {"image"}
    assert (parameters.width, parameters.height) == (64, 80)
    text = parameters.to_a1111()
    assert "CFG scale: 7.5, Image CFG scale: 1.5, Seed: 1" in text
    assert "Denoising strength" not in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": None}, "edits pictures; give an image to change as the prompt says"),
        ({"mask": "picture"}, "mask was given, and .* changes the whole picture"),
        ({"strength": 0.5}, "strength was given, and .* always starts from noise"),
        ({"paste": False}, "paste was given, and .* has no mask"),
        ({"hires": 2.0}, "hires was given, and .* edits an image"),
        ({"image_guidance_scale": 0.5}, "image_guidance_scale is 0.5; expected .* from 1 up"),
        ({"image_guidance_scale": float("nan")}, "image_guidance_scale is nan; expected a finite"),
    ],
)
def test_what_an_edit_has_not_is_refused(
    edit: Artifact, picture: Image.Image, options: dict[str, Any], message: str
) -> None:
    given = {"image": picture, **options}
    given["mask"] = picture if given.get("mask") else None
    with pytest.raises(UsageError, match=message):
        kept_pipeline(edit).start(PROMPT, **given)


# ---- Both


@pytest.mark.parametrize("name", [LCM, EDIT])
def test_a_folder_gives_the_network_that_was_saved(name: str, tmp_path: Path) -> None:
    classes = {LCM: LatentConsistencyModelPipeline, EDIT: StableDiffusionInstructPix2PixPipeline}
    theirs(name, classes[name]).save_pretrained(tmp_path / name)
    made, found = (
        RandomCheckpoint.from_preset(*read_preset(name)),
        FolderCheckpoint.open(tmp_path / name),
    )
    weights = found.unet().state_dict()
    for key, weight in made.unet().state_dict().items():
        assert torch.equal(weights[key], weight), key
    assert (found.conditions, found.has_guidance_inside) == (
        (0, True) if name == LCM else (4, False)
    )
    defaults = found.defaults
    expected = ("lcm", 4, 8.0) if name == LCM else ("euler_a", 20, 7.5)
    assert (defaults.sampler, defaults.num_inference_steps, defaults.guidance_scale) == expected


def test_the_probe_tells_guidance_as_runs_do() -> None:
    inputs = added_inputs({"timestep_cond": torch.zeros(1, 32)}, 64)
    made = theirs(LCM, LatentConsistencyModelPipeline)
    expected = made.get_guidance_scale_embedding(torch.tensor([7.0]), 32)
    torch.testing.assert_close(inputs["timestep_cond"], expected.repeat(2, 1), atol=2e-4, rtol=0)


def test_one_graph_is_not_made_of_them(
    unet_twins: Callable[[str], Artifact], tmp_path: Path
) -> None:
    for name, message in (
        (LCM, "was distilled with guidance inside"),
        (EDIT, "takes a picture besides the prompt, and one graph"),
        ("tiny-inpaint", "takes a picture besides the prompt, and one graph"),
    ):
        with pytest.raises(UnsupportedError, match=message):
            export_single_graph(unet_twins(name), tmp_path / "out", DefaultOptions())
    assert not (tmp_path / "out").exists()


def test_what_is_measured_of_prompts_alone_refuses_edits(edit: Artifact) -> None:
    with pytest.raises(UnsupportedError, match="and the benchmark has none to give"):
        Models.from_artifacts([edit])
    pipe = kept_pipeline(edit)
    with pytest.raises(UnsupportedError, match="and a comparison has none to give"):
        complete(pipe, pipe, {})


def test_golden_vectors_are_made_of_an_lcm_and_not_of_edits(
    lcm: Artifact, edit: Artifact, tmp_path: Path
) -> None:
    plan = GoldenPlan(samplers=("lcm",), steps=2, size=(64, 64))
    record(kept_pipeline(lcm), tmp_path / "lcm.safetensors", plan)
    replay(kept_pipeline(lcm), tmp_path / "lcm.safetensors").check()
    with pytest.raises(UnsupportedError, match="takes a picture besides the prompt, and golden"):
        record(kept_pipeline(edit), tmp_path / "edit.safetensors", plan)
