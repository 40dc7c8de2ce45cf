"""A checkpoint in one file gives the networks that were saved; every weight has a place."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders import single_file_utils as converters
from safetensors.torch import load_file

from sdrt.errors import UsageError
from sdrt.manifest import Schedule
from sdrt_export import exporter
from sdrt_export.cli.run_export import run_export
from sdrt_export.export_options import ExportOptions, SourceOptions
from sdrt_export.presets import read_preset
from sdrt_export.sources.opening import open_checkpoint
from sdrt_export.sources.random_weights import RandomCheckpoint
from sdrt_export.sources.single_file.checkpoint import SingleFileCheckpoint
from tests.export.sources.single_file.twins import (
    FAMILIES,
    ldm_shapes,
    ldm_weights,
    ldm_yaml,
    noise_table,
    parts_of,
    save,
    twin,
    write_yaml,
)


def assert_same_networks(found: SingleFileCheckpoint, expected: RandomCheckpoint) -> None:
    for part in parts_of(expected):
        ours, theirs = (source.network(part).state_dict() for source in (found, expected))
        assert ours.keys() == theirs.keys()
        for name, weight in theirs.items():
            assert torch.equal(ours[name], weight), name


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_gives_the_networks_that_were_saved(
    files: dict[str, tuple[Path, Path]], family: str
) -> None:
    checkpoint, made = SingleFileCheckpoint.open(*files[family]), twin(family)
    assert_same_networks(checkpoint, made)
    assert (checkpoint.family, checkpoint.latent, checkpoint.schedule, checkpoint.prediction) == (
        made.family,
        made.latent,
        made.schedule,
        made.prediction,
    )
    assert (
        checkpoint.tokenizer()("a Boat, at 7").input_ids
        == made.tokenizer()("a Boat, at 7").input_ids
    )
    assert checkpoint.tokenizer().pad_token_id == made.tokenizer().pad_token_id
    assert (checkpoint.defaults.width, checkpoint.defaults.height) == (64, 64)
    assert checkpoint.prediction_source == f"{family}.yaml"


@pytest.mark.parametrize("family", ["sd1", "sd1-inpaint", "sd1-edit", "sd2", "sd2-depth"])
def test_diffusers_own_converter_reads_the_same_from_the_file(
    files: dict[str, tuple[Path, Path]], family: str
) -> None:
    path, config = files[family]
    checkpoint = SingleFileCheckpoint.open(path, config)
    theirs = {
        "unet": converters.convert_ldm_unet_checkpoint(load_file(path), checkpoint.configs["unet"]),
        "vae": converters.convert_ldm_vae_checkpoint(load_file(path), checkpoint.configs["vae"]),
    }
    encoder = checkpoint.text_encoder()
    if family.startswith("sd2"):
        text = converters.convert_open_clip_checkpoint(encoder, load_file(path))
    else:
        text = converters.convert_ldm_clip_checkpoint(load_file(path))
    # What we leave out on purpose: they know it only of the real model, by its 23rd layer.
    left = ("text_projection.", "encoder.layers.2.", "embeddings.position_ids")
    bare = {name.removeprefix("text_model."): weight for name, weight in text.items()}
    theirs["text_encoder"] = {
        k: v for k, v in bare.items() if not k.startswith(left) or k in (encoder.state_dict())
    }
    for part, expected in theirs.items():
        ours = getattr(checkpoint, part)().state_dict()
        assert ours.keys() == expected.keys()
        for name, weight in expected.items():
            assert torch.equal(ours[name], weight), name


@pytest.mark.parametrize("family", FAMILIES)
def test_loaded_networks_compute_what_the_saved_ones_do(
    files: dict[str, tuple[Path, Path]], family: str
) -> None:
    """Also what no weight says: heads, activations, positions."""
    outputs = []
    for checkpoint in (SingleFileCheckpoint.open(*files[family]), twin(family)):
        channels = checkpoint.configs["unet"]["in_channels"]
        given = torch.randn(1, channels, 8, 8, generator=torch.Generator().manual_seed(0))
        latents = given[:, :4]
        with torch.no_grad():
            states = checkpoint.text_encoder()(torch.arange(77)[None]).last_hidden_state
            prediction = checkpoint.unet()(given, 500, states).sample
            outputs.append((states, prediction, checkpoint.vae().decode(latents).sample))
    torch.testing.assert_close(outputs[0], outputs[1])


def test_a_pickled_file_is_the_same_model(
    files: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    path, config = save("sd2", tmp_path / "model.ckpt"), files["sd2"][1]
    with pytest.raises(UsageError, match="is a pickle, which can run code .*give --allow-pickle"):
        SingleFileCheckpoint.open(path, config)
    checkpoint = SingleFileCheckpoint.open(path, config, allow_pickle=True)
    assert_same_networks(checkpoint, twin("sd2"))


def test_half_precision_is_widened(files: dict[str, tuple[Path, Path]], tmp_path: Path) -> None:
    half = {name: weight.half() for name, weight in ldm_weights("sd1").items()}
    path = save("sd1", tmp_path / "half.safetensors", half)
    unet = SingleFileCheckpoint.open(path, files["sd1"][1]).unet()
    assert unet.dtype == torch.float32
    assert torch.equal(unet.conv_in.weight, twin("sd1").unet().conv_in.weight.half().float())


def test_spellings_of_old_and_pruned_files_are_known(
    files: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    """Text encoders without `text_model`, attention as matrices, no leftovers at all."""
    weights = {
        name.replace("transformer.text_model.", "transformer."): weight
        for name, weight in ldm_weights("sd1").items()
        if name.startswith(("model.d", "first_stage_model.", "cond")) and ".loss." not in name
    }
    for name, weight in weights.items():
        if ".mid.attn_1." in name and weight.ndim == 4:
            weights[name] = weight[:, :, 0, 0].contiguous()
    path = save("sd1", tmp_path / "old.safetensors", weights)
    assert_same_networks(SingleFileCheckpoint.open(path, files["sd1"][1]), twin("sd1"))


@pytest.mark.parametrize(
    ("preset", "family", "side"),
    [
        ("sd15", "sd1", 512),
        ("sd15-inpaint", "sd1", 512),
        ("instruct-pix2pix", "sd1", 512),
        ("sd21", "sd2", 512),
        ("sd2-inpaint", "sd2", 512),
        ("sd2-depth", "sd2", 512),
        ("sdxl", "sdxl", 1024),
    ],
)
@pytest.mark.parametrize("has_last_layer", [True, False])
def test_published_geometries_are_recognised_without_a_configuration(
    preset: str, family: str, side: int, has_last_layer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On shapes alone: nothing of that size is made."""
    from sdrt_export.sources.single_file import checkpoint as module
    from sdrt_export.sources.single_file.weights_file import WeightsFile

    made = RandomCheckpoint.from_preset(*read_preset(preset))
    shapes = ldm_shapes(made)
    if has_last_layer and family == "sd2":
        last = {name: shape for name, shape in shapes.items() if "resblocks.22." in name}
        shapes |= {name.replace(".22.", ".23."): shape for name, shape in last.items()}
    file = WeightsFile(Path("model.safetensors"), shapes, lambda names: {})
    monkeypatch.setattr(module, "open_weights", lambda *_: file)
    checkpoint = SingleFileCheckpoint.open(file.path)
    assert (checkpoint.family, checkpoint.weights()) == (family, made.weights())
    assert (checkpoint.prediction_source, checkpoint.latent) == ("", made.latent)
    assert checkpoint.spaced_as(read_preset(preset)[1]).schedule == made.schedule
    for name, expected in made.configs["unet"].items():
        assert checkpoint.configs["unet"][name] == expected, name
    assert (
        checkpoint.configs["text_encoder"]["num_attention_heads"]
        == (made.configs["text_encoder"]["num_attention_heads"])
    )
    v = checkpoint.with_scheduler(prediction_type="v_prediction").defaults.width
    assert (checkpoint.defaults.width, v) == (side, 768 if family == "sd2" else side)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_files_own_table_of_noise_is_believed(
    files: dict[str, tuple[Path, Path]], tmp_path: Path, dtype: torch.dtype
) -> None:
    """It shows zero terminal SNR, which no configuration of the original form can say."""
    schedule = twin("sd2-v").schedule
    rescaled = schedule.model_copy(update={"zero_terminal_snr": True, "spacing": "trailing"})
    for own in (schedule, rescaled):
        table = {"alphas_cumprod": noise_table(own).to(dtype)}
        path = save("sd2-v", tmp_path / "table.safetensors", ldm_weights("sd2-v") | table)
        assert SingleFileCheckpoint.open(path, files["sd2-v"][1]).schedule == own


@pytest.mark.parametrize(
    ("start", "end", "steps"), [(0.0001, 0.02, 1000), (0.00085, 0.014, 1000), (0.00085, 0.012, 500)]
)
def test_a_table_of_other_noise_contradicts_the_configuration(
    files: dict[str, tuple[Path, Path]], tmp_path: Path, start: float, end: float, steps: int
) -> None:
    other = Schedule(beta_start=start, beta_end=end, train_steps=steps)
    table = {"alphas_cumprod": noise_table(other)}
    path = save("sd2-v", tmp_path / "table.safetensors", ldm_weights("sd2-v") | table)
    message = f"sd2-v.yaml does not belong to .*: its table alphas_cumprod has {steps} steps"
    with pytest.raises(UsageError, match=message):
        SingleFileCheckpoint.open(path, files["sd2-v"][1])
    content = ldm_yaml("sd2-v")
    content["model"]["params"] |= {"linear_start": start, "linear_end": end, "timesteps": steps}
    config = write_yaml(tmp_path / "right.yaml", content)
    assert SingleFileCheckpoint.open(path, config).schedule.beta_end == end


def test_a_prediction_that_is_given_is_believed(files: dict[str, tuple[Path, Path]]) -> None:
    path, config = files["sd2"]
    options = SourceOptions(str(config), prediction="v_prediction", zero_terminal_snr=True)
    checkpoint = open_checkpoint(path, options)
    assert (checkpoint.prediction, checkpoint.prediction_source) == ("v_prediction", "--prediction")
    assert (checkpoint.schedule.zero_terminal_snr, checkpoint.schedule.spacing) == (
        True,
        "trailing",
    )
    with pytest.raises(UsageError, match="unknown prediction 'w'; known: epsilon, v_prediction"):
        open_checkpoint(path, SourceOptions(str(config), prediction="w"))


@pytest.mark.parametrize(("asked", "expected"), [(None, "bf16"), ("fp32", "fp32")])
def test_the_configuration_chooses_the_stored_precision_unless_it_is_told(
    files: dict[str, tuple[Path, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: str | None,
    expected: str,
) -> None:
    content = ldm_yaml("sd2")
    content["model"]["params"]["unet_config"]["params"]["use_bf16"] = True
    source = SourceOptions(config=str(write_yaml(tmp_path / "bf16.yaml", content)))
    asks: list[Any] = []
    monkeypatch.setattr(exporter, "export", lambda *arguments: asks.append(arguments[2]))
    paths = [files["sd2"][0], tmp_path / "out"]
    run_export(paths, ExportOptions(precision=asked, source=source, quiet=True))
    assert asks == [expected]
