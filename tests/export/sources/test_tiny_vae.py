"""A tiny decoder beside the model's own: read in both namings, exported, and used."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from diffusers import AutoencoderTiny
from PIL import Image
from safetensors.torch import save_file

import sdrt
from sdrt.artifact import Artifact
from sdrt.cli.main import cli
from sdrt.errors import ArtifactError, UnsupportedError, UsageError
from sdrt.images.png import to_image
from sdrt_bench.similarity import psnr_db
from sdrt_export.export_options import SourceOptions
from sdrt_export.sources.opening import apply_options
from sdrt_export.sources.random_weights import RandomCheckpoint
from sdrt_export.sources.tiny_vae import open_tiny_vae
from tests.data.make_tiny import committed_checkpoint, committed_preset
from tests.export.export_parts import export_parts


def checkpoint() -> RandomCheckpoint:
    return committed_checkpoint()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, for the latents of the tiny model."""
    levels = int(np.log2(checkpoint().latent.downscale)) + 1
    with torch.random.fork_rng():
        torch.manual_seed(3)
        vae = AutoencoderTiny(
            latent_channels=checkpoint().latent.channels,
            encoder_block_out_channels=(16,) * levels,
            decoder_block_out_channels=(16,) * levels,
            num_encoder_blocks=(1,) * levels,
            num_decoder_blocks=(1,) * levels,
            scaling_factor=2.0,
        )
    path = tmp_path_factory.mktemp("taesd")
    vae.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def exported(
    folder: Path, tiny_exports: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    preset = committed_preset()
    described = apply_options(checkpoint(), SourceOptions(tiny_vae=folder))
    path = tmp_path_factory.mktemp("exports") / "tiny"
    export_parts(["vae_decoder_tiny"], described, preset, path, tiny_exports["fp32"])
    return path


def test_the_picture_is_what_diffusers_decodes(exported: Path, folder: Path) -> None:
    """The latents of a pipeline, divided by the tiny one's scaling factor as diffusers does."""
    pipe = sdrt.load(exported, "onnxruntime")
    run = pipe.start("a boat", seed=1, num_inference_steps=2, decoder="tiny")
    latents = [step.latents for step in run][-1]
    found = np.asarray(run.result().images[0])
    vae = AutoencoderTiny.from_pretrained(folder)
    with torch.no_grad():
        scaled = torch.tensor(latents) / vae.config.scaling_factor
        (expected,) = vae.decode(scaled).sample.numpy()
    assert psnr_db(np.asarray(to_image(expected)), found) >= 50
    assert set(run.result().networks) == {"text_encoder", "unet", "vae_decoder_tiny"}


def test_previews_show_steps_with_it_and_the_picture_is_the_full_decoders(
    exported: Path, tmp_path: Path
) -> None:
    shown, made = tmp_path / "shown.png", tmp_path / "made.png"
    words = ["generate", "a boat", "-m", str(exported), "--backend", "onnxruntime", "-s", "1"]
    words += ["--steps", "2", "--preview", "tae", "--preview-path", str(shown), "-o", str(made)]
    assert CliRunner().invoke(cli, words, catch_exceptions=False).exit_code == 0
    run = sdrt.load(exported, "onnxruntime").start("a boat", seed=1, num_inference_steps=2)
    (preview,) = run.decode([step.denoised for step in run][-1], "tiny")
    np.testing.assert_array_equal(np.asarray(Image.open(shown)), np.asarray(preview))
    (picture,) = run.result().images
    np.testing.assert_array_equal(np.asarray(Image.open(made)), np.asarray(picture))
    assert psnr_db(np.asarray(picture), np.asarray(preview)) < 40


def test_original_names_are_read_too(tmp_path: Path) -> None:
    """Of a file, the geometry is TAESD's own."""
    vae = AutoencoderTiny()
    weights = {}
    for name, weight in vae.decoder.layers.state_dict().items():
        layer, _, rest = name.partition(".")
        weights[f"{int(layer) + 1}.{rest}"] = weight.contiguous()
    save_file(weights, tmp_path / "taesd_decoder.safetensors")
    latent = checkpoint().latent.model_copy(update={"channels": 4, "downscale": 8})
    read = open_tiny_vae(tmp_path / "taesd_decoder.safetensors", latent)
    latents = torch.randn(1, 4, 8, 8)
    assert torch.equal(read.decode(latents).sample, vae.decode(latents).sample)


def test_what_is_no_tiny_autoencoder_of_these_latents_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    latent = checkpoint().latent
    with pytest.raises(UnsupportedError, match="which are this model's"):
        open_tiny_vae(folder, latent.model_copy(update={"channels": latent.channels + 1}))
    with pytest.raises(ArtifactError, match="expected an AutoencoderTiny"):
        open_tiny_vae(tmp_path, latent)
    with pytest.raises(ArtifactError, match="expected safetensors"):
        open_tiny_vae(tmp_path / "nothing.safetensors", latent)
    save_file({"conv.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ArtifactError, match="holds no decoder"):
        open_tiny_vae(tmp_path / "other.safetensors", latent)


def test_a_model_without_one_says_so(demo: Artifact) -> None:
    pipe = sdrt.load(demo.root, "onnxruntime")
    with pytest.raises(UnsupportedError, match="no tiny decoder; export it again with --tiny-vae"):
        pipe.start("a boat", decoder="tiny")
    with pytest.raises(UsageError, match="unknown decoder 'small'"):
        pipe.start("a boat", decoder="small")  # type: ignore[arg-type]
