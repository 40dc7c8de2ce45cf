from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from safetensors.torch import load_file

from sdrt.errors import UnsupportedError
from sdrt_bench.bench.peers.environments import Environment
from sdrt_bench.bench.peers.weights import Weights
from sdrt_export.presets import read_preset
from sdrt_export.sources.diffusers_folder import FolderCheckpoint
from sdrt_export.sources.random_weights import RandomCheckpoint


@pytest.fixture
def tiny() -> RandomCheckpoint:
    return RandomCheckpoint.from_preset(*read_preset("tiny"))


def same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(
        torch.equal(found[name], weight) for name, weight in wanted.items()
    )


def test_the_folder_for_diffusers_holds_the_weights_of_our_artifacts(
    tmp_path: Path, tiny: RandomCheckpoint
) -> None:
    folder = Weights(tiny, tmp_path).layout("diffusers")
    pipe = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    assert same(pipe.unet.state_dict(), tiny.unet().state_dict())
    assert same(pipe.vae.state_dict(), tiny.vae().state_dict())
    assert same(pipe.text_encoder.state_dict(), tiny.text_encoder().state_dict())
    assert pipe.tokenizer("a cat").input_ids == tiny.tokenizer()("a cat").input_ids


def test_the_single_file_reads_back_with_the_converter_of_diffusers(
    tmp_path: Path, tiny: RandomCheckpoint
) -> None:
    path = Weights(tiny, tmp_path).layout("ldm")
    weights = load_file(path)
    unet = convert_ldm_unet_checkpoint(dict(weights), dict(tiny.configs["unet"]))
    assert same(unet, tiny.unet().state_dict())
    vae = convert_ldm_vae_checkpoint(dict(weights), dict(tiny.configs["vae"]))
    assert same(vae, tiny.vae().state_dict())
    start = "cond_stage_model.transformer.text_model."
    text = {name.removeprefix(start): weight for name, weight in weights.items() if start in name}
    assert same(text, tiny.text_encoder().state_dict())


def test_a_layout_is_written_once(tmp_path: Path, tiny: RandomCheckpoint) -> None:
    weights = Weights(tiny, tmp_path)
    before = weights.layout("ldm").stat().st_mtime_ns
    assert weights.layout("ldm").stat().st_mtime_ns == before


def test_other_weights_get_a_folder_of_their_own(tmp_path: Path, tiny: RandomCheckpoint) -> None:
    other = RandomCheckpoint(tiny.name, tiny.source, tiny.configs, seed=1)
    assert Weights(other, tmp_path).folder != Weights(tiny, tmp_path).folder


def test_a_folder_of_diffusers_is_taken_over(tmp_path: Path, tiny: RandomCheckpoint) -> None:
    given = Weights(tiny, tmp_path).layout("diffusers")
    path = Weights(FolderCheckpoint.open(given), tmp_path / "second").layout("diffusers")
    assert same(
        load_file(path / "unet/diffusion_pytorch_model.safetensors"), tiny.unet().state_dict()
    )


def test_an_exporter_that_fails_leaves_its_last_words_and_no_layout(
    tmp_path: Path, tiny: RandomCheckpoint
) -> None:
    tool = tmp_path / "environment" / "bin" / "optimum-cli"
    tool.parent.mkdir(parents=True)
    tool.write_text("#!/bin/sh\necho 'ValueError: unknown geometry' >&2\nexit 1\n")
    tool.chmod(0o755)
    weights = Weights(tiny, tmp_path)
    with pytest.raises(UnsupportedError, match=r"openvino-fp16 .*unknown geometry"):
        weights.layout("openvino-fp16", Environment(tmp_path / "environment"))
    assert not (weights.folder / "openvino-fp16").exists()
