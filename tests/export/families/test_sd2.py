"""Stable Diffusion 2: OpenCLIP's last layer but one, its padding, and models that predict v."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from PIL import Image

from sdrt.artifact import Artifact
from sdrt.backends import open_backend
from sdrt.pipeline import Pipeline
from sdrt_bench.similarity import psnr_db
from sdrt_export.presets import read_preset
from sdrt_export.quantization.layers import find_layers, split_concats
from sdrt_export.sources.random_weights import RandomCheckpoint
from tests.export.sources.single_file.twins import twin


@pytest.fixture(scope="module")
def exported(tiny_sd2_v: Artifact) -> Artifact:
    return tiny_sd2_v


def test_the_manifest_says_what_it_is(exported: Artifact) -> None:
    manifest = exported.manifest
    assert (manifest.family, manifest.prediction) == ("sd2", "v_prediction")
    assert (manifest.name, manifest.source.id) == ("tiny", "tiny.safetensors")
    assert (manifest.defaults.width, manifest.defaults.sampler) == (64, "dpm++2m")
    assert manifest.text_encoders[0].layer == "penultimate"
    config = json.loads((exported.root / "tokenizer" / "tokenizer_config.json").read_text())
    assert config["pad_token"] == "!"


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # inside of diffusers
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    "settings", [{}, {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}]
)
def test_pictures_equal_those_of_diffusers_from_the_prompt_on(
    exported: Artifact, backend: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline
    from transformers import CLIPTextModel

    # diffusers looks for the network where older versions of transformers have it.
    monkeypatch.setattr(CLIPTextModel, "text_model", property(lambda self: self), raising=False)
    checkpoint = twin("sd2-v").with_scheduler(**settings)
    theirs = StableDiffusionPipeline(
        vae=checkpoint.vae(),
        text_encoder=checkpoint.text_encoder(),
        tokenizer=checkpoint.tokenizer(),
        unet=checkpoint.unet(),
        scheduler=DDIMScheduler.from_config(checkpoint.configs["scheduler"]),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    theirs.set_progress_bar_config(disable=True)
    made = theirs(
        "a boat, at 7",
        negative_prompt="fog",
        generator=torch.Generator("cpu").manual_seed(3),
        num_inference_steps=6,
        width=64,
        height=64,
        guidance_scale=5.0,
        guidance_rescale=0.7,
        output_type="np",
    )
    expected = (made.images[0] * 255).round().astype(np.uint8)
    artifact = exported
    if settings:
        manifest = exported.manifest.model_copy(update={"schedule": checkpoint.schedule})
        artifact = replace(exported, manifest=manifest)
    pipe = Pipeline(artifact, open_backend(backend, precision="fp32"))
    options = {"negative_prompt": "fog", "num_inference_steps": 6, "guidance_scale": 5.0}
    options |= {"guidance_rescale": 0.7, "scheduler_config": checkpoint.configs["scheduler"]}
    found = np.asarray(pipe("a boat, at 7", seed=3, **options).images[0])  # type: ignore[arg-type]
    assert psnr_db(expected, found) >= 50
    other = np.asarray(pipe("a boat, at 7", seed=4, **options).images[0])  # type: ignore[arg-type]
    assert psnr_db(expected, other) < 30


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # inside of diffusers
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("strength", [None, 0.5])
def test_few_steps_of_sd_turbo_equal_diffusers(
    exported: Artifact, backend: str, strength: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights are those of the exported model, which only is said to predict something else."""
    import torch
    from diffusers import (
        EulerDiscreteScheduler,
        StableDiffusionImg2ImgPipeline,
        StableDiffusionPipeline,
    )
    from transformers import CLIPTextModel

    monkeypatch.setattr(CLIPTextModel, "text_model", property(lambda self: self), raising=False)
    checkpoint, defaults = turbo(), read_preset("tiny-sd-turbo")[1].defaults
    manifest = exported.manifest.model_copy(
        update={
            "schedule": checkpoint.schedule,
            "prediction": checkpoint.prediction,
            "defaults": defaults,
        }
    )
    config = checkpoint.configs["scheduler"]
    theirs = (StableDiffusionPipeline if strength is None else StableDiffusionImg2ImgPipeline)(
        vae=checkpoint.vae(),
        text_encoder=checkpoint.text_encoder(),
        tokenizer=checkpoint.tokenizer(),
        unet=checkpoint.unet(),
        scheduler=EulerDiscreteScheduler.from_config(config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    theirs.set_progress_bar_config(disable=True)
    options: dict[str, Any] = {}
    if strength is not None:  # two steps, of which one is made
        shades = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8) * 2
        options = {"image": Image.fromarray(shades).convert("RGB"), "strength": strength}
        options["num_inference_steps"] = 2
    made = theirs(
        "a boat, at 7",
        generator=torch.Generator("cpu").manual_seed(3),
        output_type="np",
        **{"num_inference_steps": 1, "guidance_scale": 0.0, **options},
        **({"width": 64, "height": 64} if strength is None else {}),
    )
    expected = (made.images[0] * 255).round().astype(np.uint8)
    engine = open_backend(backend, precision="fp32")
    pipe = Pipeline(replace(exported, manifest=manifest), engine)
    run = pipe.start("a boat, at 7", seed=3, **options)
    assert len(run) == 1
    assert psnr_db(expected, np.asarray(run.result().images[0])) >= 50
    other = np.asarray(pipe("a boat, at 7", seed=4, **options).images[0])
    assert psnr_db(expected, other) < 40


def turbo() -> RandomCheckpoint:
    """The preset's model."""
    made, weights = (
        RandomCheckpoint.from_preset(*read_preset("tiny-sd-turbo")),
        twin("sd2-v").configs,
    )
    assert all(made.configs[part] == weights[part] for part in ("text_encoder", "unet", "vae"))
    assert (made.defaults.sampler, made.schedule.spacing) == ("euler", "trailing")
    return made


def test_int8_splits_what_joins_the_results_of_linear_layers(exported: Artifact) -> None:
    """Here attention ends in a linear layer, where Stable Diffusion 1 has a convolution."""
    model = ir.load(exported.root / "unet" / "model.onnx")
    whole = {layer.name for layer in find_layers(model.graph)}
    split_concats(model.graph)
    parts = {layer.name for layer in find_layers(model.graph)} - whole
    shortcuts = {name for name in whole if "up_blocks" in name and "conv_shortcut" in name}
    assert parts == {f"{name}.part{i}" for name in shortcuts for i in range(2)}
    assert len(shortcuts) == 4
