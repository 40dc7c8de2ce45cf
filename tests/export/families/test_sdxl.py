"""Stable Diffusion XL: two text encoders, a pooled embedding, and what it is told of a picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from diffusers import (
    EulerAncestralDiscreteScheduler,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
)
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from sdrt.artifact import Artifact, open_artifact
from sdrt.backends import open_backend
from sdrt.errors import UnsupportedError, UsageError
from sdrt.pipeline import Pipeline
from sdrt.snr import snr_db
from sdrt_bench.bench.macs import step_macs
from sdrt_bench.bench.record import Params
from sdrt_bench.bench.round_protocol import RoundSpec
from sdrt_bench.bench.side_jobs import measure_sqnr
from sdrt_bench.bench.worker import measure, open_engine
from sdrt_bench.compare.run import KEPT, compare
from sdrt_bench.prompts import Prompt
from sdrt_bench.similarity import psnr_db
from sdrt_export.export_options import DefaultOptions
from sdrt_export.exporter import export
from sdrt_export.graphs.parity import FLOOR_DB
from sdrt_export.quantization.calibration import CalibrationSettings
from sdrt_export.quantization.int8_artifact import ENOUGH_DB, Int8Settings
from sdrt_export.quantization.layers import find_layers
from sdrt_export.quantization.observation import read_calibration
from sdrt_export.quantization.sensitivity import groups_of
from sdrt_export.single_graph.publish import export_single_graph
from sdrt_export.sources.diffusers_folder import FolderCheckpoint
from tests.export.families.xl_twin import (
    PROMPT,
    SIZE,
    checkpoint,
    open_pipeline,
    theirs,
    they_paint,
    we_paint,
)
from tests.export.quantization.test_quantization import INTEGER_LAYERS, check_integers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as diffusers writes it."""
    root = tmp_path_factory.mktemp("diffusers") / "tiny-sdxl"
    theirs().save_pretrained(root)
    return root


@pytest.fixture(scope="module")
def exported(tiny_sdxl: Path) -> Artifact:
    return open_artifact(tiny_sdxl)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    rows, columns = np.mgrid[0:80, 0:64]
    shades = np.stack([rows * 3, columns * 4, 255 - rows - columns * 2], axis=2)
    return Image.fromarray(shades.astype(np.uint8))


def test_the_manifest_says_what_it_is(exported: Artifact) -> None:
    manifest = exported.manifest
    assert (manifest.family, manifest.prediction) == ("sdxl", "epsilon")
    assert manifest.zeros_for_empty_prompt
    assert [(one.graph, one.tokenizer, one.layer) for one in manifest.text_encoders] == [
        ("text_encoder", "tokenizer", "penultimate"),
        ("text_encoder_2", "tokenizer_2", "penultimate"),
    ]
    assert (manifest.latent.scale, manifest.latent.downscale) == (0.13025, 8)
    assert (manifest.text_width, manifest.pooled_width, manifest.text_layers) == (192, 96, 2)
    assert (manifest.defaults.width, manifest.defaults.guidance_scale) == (64, 5.0)
    for graph in manifest.graphs.values():
        assert min(graph.parity_db.values()) >= 80


def test_names_of_inputs_and_outputs_are_those_of_optimum(exported: Artifact) -> None:
    graphs = exported.manifest.graphs
    signatures = {
        name: ([i.name for i in graphs[name].inputs], [o.name for o in graphs[name].outputs])
        for name in ("text_encoder", "text_encoder_2", "unet")
    }
    assert signatures == {
        "text_encoder": (
            ["input_ids"],
            ["last_hidden_state", "pooler_output", *(f"hidden_states.{i}" for i in range(4))],
        ),
        "text_encoder_2": (
            ["input_ids"],
            ["text_embeds", "last_hidden_state", *(f"hidden_states.{i}" for i in range(5))],
        ),
        "unet": (
            ["sample", "timestep", "encoder_hidden_states", "text_embeds", "time_ids"],
            ["out_sample"],
        ),
    }


def test_the_layout_is_that_of_diffusers(exported: Artifact) -> None:
    index = json.loads((exported.root / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionXLPipeline"
    assert index["text_encoder_2"] == ["transformers", "CLIPTextModelWithProjection"]
    assert index["force_zeros_for_empty_prompt"] is True
    paddings = [
        json.loads((exported.root / name / "tokenizer_config.json").read_text())["pad_token"]
        for name in ("tokenizer", "tokenizer_2")
    ]
    assert paddings == ["<|endoftext|>", "!"]


def test_a_folder_gives_the_networks_that_were_saved(folder: Path) -> None:
    made, loaded = checkpoint(), FolderCheckpoint.open(folder)
    assert loaded.weights() == made.weights()
    assert loaded.zeros_for_empty_prompt
    for part in ("text_encoder", "text_encoder_2", "unet", "vae"):
        expected, found = made.network(part).state_dict(), loaded.network(part).state_dict()
        assert expected.keys() == found.keys()
        for name, weight in expected.items():
            torch.testing.assert_close(found[name], weight, rtol=0, atol=0)
    ids = [one.tokenizer("text_encoder_2")(PROMPT).input_ids for one in (made, loaded)]
    assert ids[0] == ids[1]


FRAMINGS: list[dict[str, Any]] = [
    {},
    {"negative_prompt": "fog"},
    {"original_size": (300, 200), "crops_coords_top_left": (16, 8), "target_size": (90, 70)},
    {
        "negative_prompt": "fog",
        "guidance_rescale": 0.7,
        "original_size": (90, 70),
        "negative_original_size": (256, 128),
        "negative_crops_coords_top_left": (5, 3),
        "negative_target_size": (64, 32),
    },
]


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("options", FRAMINGS)
def test_pictures_equal_those_of_diffusers_from_the_prompt_on(
    exported: Artifact, backend: str, options: dict[str, Any]
) -> None:
    expected = they_paint(theirs(), **SIZE, **options)
    pipe = open_pipeline(exported, backend)
    assert psnr_db(expected, we_paint(pipe, **SIZE, **options)) >= 50
    assert psnr_db(expected, we_paint(pipe, seed=4, **SIZE, **options)) < 30


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_one_step_without_guidance_equals_diffusers(exported: Artifact, backend: str) -> None:
    """As SDXL-Turbo is run."""
    their = theirs()
    config = {**their.scheduler.config, "timestep_spacing": "trailing"}
    their.scheduler = EulerAncestralDiscreteScheduler.from_config(config)
    generator = torch.Generator("cpu").manual_seed(3)
    steps = {"num_inference_steps": 1, "guidance_scale": 0.0, **SIZE}
    made = their(PROMPT, generator=generator, output_type="np", **steps)
    expected = np.asarray((made.images[0] * 255).round().astype(np.uint8))
    pipe = open_pipeline(exported, backend)
    found = pipe(PROMPT, seed=3, sampler="euler_a", spacing="trailing", **steps)
    assert psnr_db(expected, np.asarray(found.images[0])) >= 50


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_image_to_image_equals_diffusers(
    exported: Artifact, picture: Image.Image, strength: float
) -> None:
    options: dict[str, Any] = {"image": picture, "strength": strength, "negative_prompt": "fog"}
    expected = they_paint(theirs(StableDiffusionXLImg2ImgPipeline), **options)
    assert psnr_db(expected, we_paint(open_pipeline(exported), **options)) >= 50


def test_inpainting_equals_diffusers(exported: Artifact, picture: Image.Image) -> None:
    shades = np.zeros((80, 64), np.uint8)
    shades[16:56, 24:48] = 255  # whole blocks of 8, where diffusers' mask is exact too
    mask = Image.fromarray(shades)
    options: dict[str, Any] = {"image": picture, "strength": 0.7}
    their = theirs(StableDiffusionXLInpaintPipeline)
    expected = they_paint(their, mask_image=mask, **SIZE, **options)
    pipe = open_pipeline(exported)
    found = we_paint(pipe, mask=mask, paste=False, **options)
    assert psnr_db(expected, found) >= 50


@pytest.mark.parametrize("layer", [1, 2])
def test_clip_skip_counts_from_the_layer_of_training(exported: Artifact, layer: int) -> None:
    expected, _, pooled, _ = theirs().encode_prompt(
        PROMPT, device="cpu", do_classifier_free_guidance=False, clip_skip=layer - 1 or None
    )
    found = open_pipeline(exported).encode_text(PROMPT, clip_skip=layer)
    assert snr_db(expected.detach().numpy(), found.states) >= 80
    assert found.pooled is not None
    assert snr_db(pooled.detach().numpy(), found.pooled) >= 80


def test_embeddings_stand_for_prompts(exported: Artifact) -> None:
    pipe = open_pipeline(exported)
    options: dict[str, Any] = {"seed": 1, "num_inference_steps": 2}
    text, negative = pipe.encode_text(PROMPT), pipe.encode_text("fog")
    embeddings: dict[str, Any] = {
        "prompt_embeds": text.states,
        "pooled_prompt_embeds": text.pooled,
        "negative_prompt_embeds": negative.states,
        "negative_pooled_prompt_embeds": negative.pooled,
    }
    expected = pipe(PROMPT, negative_prompt="fog", **options)
    found = pipe(**embeddings, **options)
    np.testing.assert_array_equal(np.asarray(found.images[0]), np.asarray(expected.images[0]))
    assert set(found.parameters[0].prompt_embeddings) == set(embeddings)
    del embeddings["pooled_prompt_embeds"]
    with pytest.raises(UsageError, match="prompt_embeds was given without pooled_prompt_embeds"):
        pipe.start(**embeddings)


def test_several_pictures_are_each_as_alone(exported: Artifact) -> None:
    pipe = open_pipeline(exported)
    both = pipe(PROMPT, seed=[5, 3], num_images_per_prompt=2, num_inference_steps=2)
    alone = pipe(PROMPT, seed=3, num_inference_steps=2)
    assert psnr_db(np.asarray(both.images[1]), np.asarray(alone.images[0])) >= 50


def test_a_guided_step_in_halves_gives_the_same(exported: Artifact) -> None:
    pipe = open_pipeline(exported)
    options: dict[str, Any] = {"negative_prompt": "fog", "original_size": (20, 30)}
    whole, halves = (we_paint(pipe, guidance_split=split, **options) for split in (False, True))
    assert psnr_db(whole, halves) >= 50


def test_long_prompts_give_the_pooled_embedding_of_their_first_chunk(exported: Artifact) -> None:
    pipe = open_pipeline(exported)
    text, first = pipe.encode_text(f"{PROMPT} BREAK fog"), pipe.encode_text(PROMPT)
    assert text.states.shape == (1, 154, 192)
    np.testing.assert_array_equal(text.pooled, first.pooled)
    made = pipe(f"{PROMPT} BREAK fog", negative_prompt="x", seed=1, num_inference_steps=1)
    assert len(made.images) == 1


def test_a_picture_says_what_the_model_was_told(exported: Artifact) -> None:
    pipe = open_pipeline(exported)
    made = pipe(PROMPT, num_inference_steps=1, seed=1, original_size=(50, 40), **SIZE)
    told = {"original_size": (50, 40), "crops_coords_top_left": (0, 0), "target_size": (80, 64)}
    assert made.parameters[0].size_conditioning == told
    made = pipe(PROMPT, num_inference_steps=1, seed=1, negative_target_size=(50, 40))
    assert made.parameters[0].size_conditioning["negative_target_size"] == (50, 40)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"original_size": 64}, r"original_size is 64; expected \(height, width\) in pixels"),
        ({"target_size": (0, 64)}, "target_size is 0; expected a whole number from 1"),
        ({"crops_coords_top_left": (1, 2, 3)}, r"expected \(top, left\) in pixels"),
        ({"pooled_prompt_embeds": np.zeros(96, np.float32)}, "without prompt_embeds"),
    ],
)
def test_what_cannot_be_told_is_refused(
    exported: Artifact, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        open_pipeline(exported).start(PROMPT, **options)


def test_other_models_are_told_nothing(tiny: Artifact) -> None:
    pipe = open_pipeline(tiny)
    with pytest.raises(UsageError, match="target_size is for models of Stable Diffusion XL"):
        pipe.start(PROMPT, target_size=(64, 64))
    with pytest.raises(UsageError, match="pooled_prompt_embeds is for models of Stable Diffusion"):
        pipe.start(prompt_embeds=pipe.encode(PROMPT), pooled_prompt_embeds=np.zeros(3, np.float32))
    assert "zeros_for_empty_prompt" not in tiny.manifest.to_json()


def test_one_graph_is_not_made_of_it(exported: Artifact, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="XL, and one graph has one text encoder"):
        export_single_graph(exported, tmp_path / "out", DefaultOptions())


@pytest.mark.parametrize("share", [0.4, 0.8])
def test_a_base_is_left_where_diffusers_leaves_it(exported: Artifact, share: float) -> None:
    expected = theirs()(
        PROMPT,
        generator=torch.Generator("cpu").manual_seed(3),
        num_inference_steps=6,
        guidance_scale=5.0,
        denoising_end=share,
        output_type="latent",
        **SIZE,
    ).images.numpy()
    settings: dict[str, Any] = {"num_inference_steps": 6, "guidance_scale": 5.0, **SIZE}
    settings["scheduler_config"] = checkpoint().configs["scheduler"]
    run = open_pipeline(exported).start(PROMPT, seed=3, denoising_end=share, **settings)
    assert len(run) == (2 if share == 0.4 else 4)  # at 831, 665; 499, 333
    assert snr_db(expected, run.latents()) >= 50


# In int8


@pytest.fixture(scope="module")
def int8(exported: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The same in int8, calibrated with little, in pictures that are higher than wide."""
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
    found = read_calibration(int8.root.with_name("statistics.json")).networks
    assert {"text_encoder", "text_encoder_2", "unet", "vae_decoder", "vae_encoder"} == set(found)
    sides = {one.shape[2:] for one in found["unet"].values() if len(one.shape) == 4}
    assert sides == {(10, 8), (5, 4), (3, 2)}  # of latents, halved and rounded up
    assert {one.shape[0] for one in found["unet"].values()} == {2}  # both halves of a guided step


def test_blocks_behind_each_other_are_measured_together(exported: Artifact) -> None:
    model = ir.load(exported.network("unet", ("onnx",)).files[0])
    layers = find_layers(model.graph)
    groups = [{layer.name for layer in group} for group in groups_of(layers)]
    assert sorted(name for group in groups for name in group) == sorted(one.name for one in layers)
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


# Measured


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
    found = measure(spec, open_engine)
    assert {"text_encoder", "text_encoder_2", "unet", "vae_decoder"} == set(found.round.load_s)
    assert found.precision.model_dump(include={"requested", "stored", "executed"}) == {
        "requested": "int8",
        "stored": "int8",
        "executed": "int8",
    }
    quantization = int8.manifest.graphs["unet"].quantization
    assert quantization is not None
    assert found.precision.layer_shares["int8"] >= 0.95 * quantization.share
    assert found.picture is not None
    with Image.open(found.picture) as image:
        assert image.size == (64, 80)


def test_each_network_is_near_the_one_in_fp32(exported: Artifact, int8: Artifact) -> None:
    asked = params(backend="onnxruntime", precision="int8").model_dump()
    arguments = {"artifact": str(int8.root), "against": str(exported.root), "params": asked}
    found = measure_sqnr(arguments)
    assert set(found) == {"text_encoder", "text_encoder_2", "unet", "vae_decoder"}
    assert min(db for db in found.values() if db is not None) > 15


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
    one, other = (Pipeline(model, open_backend("onnxruntime"), KEPT) for model in (exported, int8))
    found = compare(one, other, [Prompt(PROMPT)], options={"num_inference_steps": 2})
    assert 20 < found.pairs[0].psnr_db < 80
