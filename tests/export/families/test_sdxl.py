"""Stable Diffusion XL: two text encoders, a pooled embedding, and what it is told of a picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    EulerAncestralDiscreteScheduler,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
)
from PIL import Image

from sdrt.arrays import snr_db
from sdrt.artifact import Artifact, open_artifact
from sdrt.errors import UnsupportedError, UsageError
from sdrt_bench.similarity import psnr_db
from sdrt_export.export_options import DefaultOptions
from sdrt_export.single_graph.publish import export_single_graph
from sdrt_export.sources.diffusers_folder import FolderCheckpoint
from tests.export.families.kept_pipelines import kept_pipeline
from tests.export.families.xl_twin import (
    PROMPT,
    SIZE,
    checkpoint,
    theirs,
    they_paint,
    we_paint,
)


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
    assert [
        (encoder.graph, encoder.tokenizer, encoder.layer) for encoder in manifest.text_encoders
    ] == [
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
    ids = [source.tokenizer("text_encoder_2")(PROMPT).input_ids for source in (made, loaded)]
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
    pipe = kept_pipeline(exported, backend)
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
    pipe = kept_pipeline(exported, backend)
    found = pipe(PROMPT, seed=3, sampler="euler_a", spacing="trailing", **steps)
    assert psnr_db(expected, np.asarray(found.images[0])) >= 50


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_image_to_image_equals_diffusers(
    exported: Artifact, picture: Image.Image, strength: float
) -> None:
    options: dict[str, Any] = {"image": picture, "strength": strength, "negative_prompt": "fog"}
    expected = they_paint(theirs(StableDiffusionXLImg2ImgPipeline), **options)
    assert psnr_db(expected, we_paint(kept_pipeline(exported), **options)) >= 50


def test_inpainting_equals_diffusers(exported: Artifact, picture: Image.Image) -> None:
    shades = np.zeros((80, 64), np.uint8)
    shades[16:56, 24:48] = 255  # whole blocks of 8, where diffusers' mask is exact too
    mask = Image.fromarray(shades)
    options: dict[str, Any] = {"image": picture, "strength": 0.7}
    their = theirs(StableDiffusionXLInpaintPipeline)
    expected = they_paint(their, mask_image=mask, **SIZE, **options)
    pipe = kept_pipeline(exported)
    found = we_paint(pipe, mask=mask, paste=False, **options)
    assert psnr_db(expected, found) >= 50


@pytest.mark.parametrize("layer", [1, 2])
def test_clip_skip_counts_from_the_layer_of_training(exported: Artifact, layer: int) -> None:
    expected, _, pooled, _ = theirs().encode_prompt(
        PROMPT, device="cpu", do_classifier_free_guidance=False, clip_skip=layer - 1 or None
    )
    found = kept_pipeline(exported).encode_text(PROMPT, clip_skip=layer)
    assert snr_db(expected.detach().numpy(), found.states) >= 80
    assert found.pooled is not None
    assert snr_db(pooled.detach().numpy(), found.pooled) >= 80


def test_embeddings_stand_for_prompts(exported: Artifact) -> None:
    pipe = kept_pipeline(exported)
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
    pipe = kept_pipeline(exported)
    both = pipe(PROMPT, seed=[5, 3], num_images_per_prompt=2, num_inference_steps=2)
    alone = pipe(PROMPT, seed=3, num_inference_steps=2)
    assert psnr_db(np.asarray(both.images[1]), np.asarray(alone.images[0])) >= 50


def test_a_guided_step_in_halves_gives_the_same(exported: Artifact) -> None:
    pipe = kept_pipeline(exported)
    options: dict[str, Any] = {"negative_prompt": "fog", "original_size": (20, 30)}
    whole, halves = (we_paint(pipe, guidance_split=split, **options) for split in (False, True))
    assert psnr_db(whole, halves) >= 50


def test_long_prompts_give_the_pooled_embedding_of_their_first_chunk(exported: Artifact) -> None:
    pipe = kept_pipeline(exported)
    text, first = pipe.encode_text(f"{PROMPT} BREAK fog"), pipe.encode_text(PROMPT)
    assert text.states.shape == (1, 154, 192)
    np.testing.assert_array_equal(text.pooled, first.pooled)
    made = pipe(f"{PROMPT} BREAK fog", negative_prompt="x", seed=1, num_inference_steps=1)
    assert len(made.images) == 1


def test_a_picture_says_what_the_model_was_told(exported: Artifact) -> None:
    pipe = kept_pipeline(exported)
    made = pipe(PROMPT, num_inference_steps=1, seed=1, original_size=(50, 40), **SIZE)
    sizes = {"original_size": (50, 40), "crops_coords_top_left": (0, 0), "target_size": (80, 64)}
    assert made.parameters[0].size_conditioning == sizes
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
        kept_pipeline(exported).start(PROMPT, **options)


def test_other_models_are_told_nothing(tiny: Artifact) -> None:
    pipe = kept_pipeline(tiny)
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
    run = kept_pipeline(exported).start(PROMPT, seed=3, denoising_end=share, **settings)
    assert len(run) == (2 if share == 0.4 else 4)  # at 831, 665; 499, 333
    assert snr_db(expected, run.latents()) >= 50
