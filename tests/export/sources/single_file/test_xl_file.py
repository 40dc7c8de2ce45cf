"""A checkpoint of SDXL in one file: two text encoders, and no configuration beside it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sdrt.errors import ArtifactError, SdrtError, UnsupportedError, UsageError
from sdrt.manifest import Prediction
from sdrt_export import exporter
from sdrt_export.cli.run_export import run_export
from sdrt_export.export_options import ExportOptions, SourceOptions
from sdrt_export.sources.checkpoint import Checkpoint
from sdrt_export.sources.opening import open_checkpoint
from sdrt_export.sources.single_file import diffusers_settings
from sdrt_export.sources.single_file.checkpoint import SingleFileCheckpoint
from tests.export.sources.single_file.twins import ldm_weights, parts_of, save, twin


@pytest.fixture(autouse=True)
def _known_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the twin's geometry be one that everybody has: its weights do not tell the heads."""
    monkeypatch.setitem(diffusers_settings.KNOWN_HEADS, (192, 32), {"num_head_channels": 16})


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save("sdxl", tmp_path_factory.mktemp("ldm") / "xl.safetensors")


def test_a_file_gives_the_networks_that_were_saved(file: Path) -> None:
    made, checkpoint = twin("sdxl"), SingleFileCheckpoint.open(file)
    for part in parts_of(made):
        ours, theirs = (source.network(part).state_dict() for source in (checkpoint, made))
        assert ours.keys() == theirs.keys()
        for name, weight in theirs.items():
            assert torch.equal(ours[name], weight), name
    assert (checkpoint.family, checkpoint.latent, checkpoint.schedule) == (
        "sdxl",
        made.latent,
        made.schedule,
    )
    assert checkpoint.zeros_for_empty_prompt
    assert (checkpoint.defaults.width, checkpoint.defaults.guidance_scale) == (1024, 5.0)
    for encoder in made.text_encoders:
        ours, theirs = (source.tokenizer(encoder) for source in (checkpoint, made))
        assert ours("a Boat, at 7").input_ids == theirs("a Boat, at 7").input_ids
        assert ours.pad_token_id == theirs.pad_token_id


def test_loaded_networks_compute_what_the_saved_ones_do(file: Path) -> None:
    """Also what no weight says: heads, activations, positions, the end of a text."""
    results = [
        outputs(checkpoint) for checkpoint in (SingleFileCheckpoint.open(file), twin("sdxl"))
    ]
    torch.testing.assert_close(results[0], results[1])


@torch.no_grad()
def outputs(checkpoint: Checkpoint) -> tuple[torch.Tensor, ...]:
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    ids = torch.arange(437, 514)[None]  # the last is the end
    first = checkpoint.text_encoder()(ids, output_hidden_states=True).hidden_states[-2]
    second = checkpoint.text_encoder_2()(ids, output_hidden_states=True)
    states = torch.cat([first, second.hidden_states[-2]], dim=2)
    added = {"text_embeds": second.text_embeds, "time_ids": torch.arange(6.0)[None]}
    prediction = checkpoint.unet()(latents, 500, states, added_cond_kwargs=added).sample
    return states, second.text_embeds, prediction, checkpoint.vae().decode(latents).sample


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_what_it_predicts_can_be_said(file: Path, prediction: Prediction) -> None:
    checkpoint = open_checkpoint(file, SourceOptions(prediction=prediction))
    assert (checkpoint.prediction, checkpoint.prediction_source) == (prediction, "--prediction")


BAD: list[tuple[str, type[SdrtError], str]] = [
    ("conditioner.embedders.1.model.text_projection", ArtifactError, "has no .*text_projection"),
    ("conditioner.embedders.1.model.ln_final.bias", ArtifactError, "1 weights are missing"),
    ("conditioner.embedders.0.transformer", ArtifactError, "no text encoder; expected a whole"),
    ("conditioner.embedders.1", ArtifactError, "no text encoder; expected a whole"),
    ("model.diffusion_model.label_emb.0.0.weight", UnsupportedError, "XL without label_emb"),
    ("model.diffusion_model.label_emb.0.2.bias", ArtifactError, "1 weights are missing"),
]


@pytest.mark.parametrize(("lost", "error", "message"), BAD)
def test_what_is_missing_is_named(
    tmp_path: Path, lost: str, error: type[SdrtError], message: str
) -> None:
    path = tmp_path / "bad.safetensors"
    weights = ldm_weights("sdxl")
    save_file({name: weight for name, weight in weights.items() if not name.startswith(lost)}, path)
    with pytest.raises(error, match=message):
        SingleFileCheckpoint.open(path)


def test_a_preset_says_where_steps_lie_and_a_file_what_the_noise_is(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SDXL-Turbo makes its one step at the last timestep, which a file in one piece cannot say."""
    asks: list[Any] = []
    monkeypatch.setattr(exporter, "export", lambda *arguments: asks.append(arguments))
    source = SourceOptions(prediction="epsilon")
    for preset in (None, "sdxl-turbo"):
        paths = [file, tmp_path / "out"]
        run_export(paths, ExportOptions(preset=preset, source=source, quiet=True))
    plain, turbo = asks
    assert plain[0].schedule.spacing == "leading"
    assert turbo[0].schedule == plain[0].schedule.model_copy(update={"spacing": "trailing"})
    defaults = turbo[4]
    assert (defaults.num_inference_steps, defaults.guidance_scale, defaults.width) == (1, 0.0, 512)
    assert defaults.sampler == "euler_a"


def test_a_configuration_of_another_model_is_refused(file: Path) -> None:
    with pytest.raises(UsageError, match="family is sd1 there and sdxl in the weights"):
        SingleFileCheckpoint.open(file, "v1-inference")


def test_a_geometry_of_its_own_is_not_guessed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(diffusers_settings.KNOWN_HEADS, (192, 32))
    with pytest.raises(UsageError, match="32 channels and embeddings of 192, which is none of"):
        SingleFileCheckpoint.open(file)
