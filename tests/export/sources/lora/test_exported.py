"""An export with a LoRA makes the picture that diffusers makes with it, and says what it has."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from diffusers import StableDiffusionPipeline

import sdrt
from sdrt.artifact import open_artifact
from sdrt.diagnostics.info import describe_model
from sdrt.errors import UsageError
from sdrt.files.checksums import sha256
from sdrt_bench.docs.picture_parity import TorchNetworks, compare, make_scheduler
from sdrt_bench.similarity import psnr_db
from sdrt_export.artifact.report import Report
from sdrt_export.cli.export import export as export_command
from sdrt_export.cli.run_export import run_export
from sdrt_export.export_options import DefaultOptions, ExportOptions, Int8Options, SourceOptions
from sdrt_export.presets import read_preset
from sdrt_export.sources.random_weights import RandomCheckpoint
from tests.export.sources.lora.merging import WEIGHT, tiny_options
from tests.export.sources.lora.writing import (
    ALPHA,
    RANK,
    Key,
    Pair,
)


def attach(networks: TorchNetworks, lora: dict[Key, Pair], scale: float) -> None:
    """The LoRA beside the layers, as trainers run it."""

    def hook(pair: Pair) -> Callable[..., torch.Tensor]:
        def added(module: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
            if pair.down.ndim == 4:
                low = F.conv2d(inputs[0], pair.down, None, module.stride, module.padding)
                return output + scale * F.conv2d(low, pair.up)
            return output + scale * F.linear(F.linear(inputs[0], pair.down), pair.up)

        return added

    for (part, path), pair in lora.items():
        getattr(networks, part).get_submodule(path).register_forward_hook(hook(pair))


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # inside of diffusers
def test_the_picture_is_that_of_diffusers_with_the_lora_beside_its_layers(
    tiny_checkpoint: RandomCheckpoint, lora: dict[Key, Pair], exported: Path
) -> None:
    networks = TorchNetworks.from_checkpoint(tiny_checkpoint)
    pipes = {"onnxruntime": sdrt.load(exported, backend="onnxruntime", precision="fp32")}
    scheduler = make_scheduler("ddim", tiny_checkpoint.configs["scheduler"])
    without, (ours,) = compare(networks, pipes, scheduler, "a boat", seed=3, steps=6)
    assert psnr_db(without, ours) < 35
    attach(networks, lora, WEIGHT * ALPHA / RANK)
    theirs, (ours,) = compare(networks, pipes, scheduler, "a boat", seed=3, steps=6)
    assert psnr_db(theirs, ours) >= 50


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # inside of diffusers
def test_the_picture_is_that_of_diffusers_with_peft(
    tiny_checkpoint: RandomCheckpoint, kohya_file: Path, exported: Path
) -> None:
    """As diffusers loads LoRAs itself, which takes PEFT."""
    networks = TorchNetworks.from_checkpoint(tiny_checkpoint)
    loader = StableDiffusionPipeline(
        **{"vae": networks.vae, "text_encoder": networks.text_encoder, "unet": networks.unet},
        **dict.fromkeys(("tokenizer", "safety_checker", "feature_extractor")),
        scheduler=make_scheduler("ddim", tiny_checkpoint.configs["scheduler"]),
        requires_safety_checker=False,
    )
    loader.load_lora_weights(kohya_file.parent, weight_name=kohya_file.name, adapter_name="style")
    loader.set_adapters("style", WEIGHT)
    pipes = {"onnxruntime": sdrt.load(exported, backend="onnxruntime", precision="fp32")}
    theirs, (ours,) = compare(networks, pipes, loader.scheduler, "a boat", seed=3, steps=6)
    assert psnr_db(theirs, ours) >= 50


def test_the_manifest_says_what_was_merged(exported: Path, kohya_file: Path) -> None:
    (record,) = open_artifact(exported).manifest.source.loras
    assert record.model_dump() == {
        "file": "style.safetensors",
        "sha256": sha256(kohya_file),
        "weight": WEIGHT,
    }
    assert f"with the LoRA style.safetensors, weight {WEIGHT}" in describe_model(str(exported))[1]


def test_the_models_defaults_are_what_was_asked_for(exported: Path) -> None:
    manifest = open_artifact(exported).manifest
    assert manifest.schedule.spacing == "trailing"
    assert manifest.defaults.model_dump() == {
        **read_preset("tiny")[1].defaults.model_dump(),
        "sampler": "tcd",
        "sampler_options": {"eta": 0.5},
        "num_inference_steps": 3,
        "guidance_scale": 3.0,
    }


@pytest.mark.parametrize(
    ("default", "message"),
    [
        ({"sampler": "lcn"}, "unknown sampler 'lcn'.* did you mean 'lcm'"),
        ({"steps": 0}, "steps is 0; expected a whole number from 1"),
        ({"guidance_scale": -1.0}, "guidance scale is -1.0; expected a finite number"),
        ({"sampler": "euler", "sampler_options": {"eta": 1}}, "sampler euler has no option 'eta'"),
        ({"size": (64, 65)}, "height is 65; expected a multiple of 8"),
    ],
)
def test_defaults_that_cannot_be_are_refused_before_the_work(
    tmp_path: Path, default: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run_export([tmp_path / "a"], tiny_options(defaults=DefaultOptions(**default)))
    with pytest.raises(UsageError, match="unknown spacing 'tailing'"):
        run_export([tmp_path / "a"], tiny_options(source=SourceOptions(spacing="tailing")))
    assert not list(tmp_path.iterdir())


def test_int8_is_made_from_the_merged_weights(exported: Path, tmp_path: Path) -> None:
    options = ExportOptions(
        precision="int8",
        formats="onnx",
        int8=Int8Options(calibration_samples=1, calibration_steps=1, publish_anyway=True),
        defaults=DefaultOptions(steps=7),
        quiet=True,
    )
    report = run_export([exported, tmp_path / "int8"], options)
    assert isinstance(report, Report)
    defaults = open_artifact(exported).manifest.defaults
    assert report.manifest.defaults == defaults.model_copy(update={"num_inference_steps": 7})
    assert report.manifest.source == open_artifact(exported).manifest.source
    assert report.record()["loras"][0]["weight"] == WEIGHT


@pytest.mark.parametrize("options", [["--precision", "int8"], ["--single-graph"]])
def test_a_model_folder_takes_no_lora(
    exported: Path, kohya_file: Path, tmp_path: Path, options: list[str]
) -> None:
    arguments = [str(exported), str(tmp_path / "out"), "--lora", str(kohya_file), *options]
    done = CliRunner().invoke(export_command, arguments)
    assert isinstance(done.exception, UsageError)
    assert not (tmp_path / "out").exists()
