"""Only Stable Diffusion in safetensors is loaded, and nothing from a repository decides how."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sdrt.errors import ArtifactError, SdrtError, UnsupportedError, UsageError
from sdrt.manifest import Precision
from sdrt_export.exporter import export
from sdrt_export.presets import read_preset
from sdrt_export.sources.diffusers_folder import FolderCheckpoint
from sdrt_export.sources.random_weights import RandomCheckpoint
from tests.conftest import Sharing


def random_tiny() -> RandomCheckpoint:
    return RandomCheckpoint.from_preset(*read_preset("tiny"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random tiny model as a diffusers folder."""
    root = tmp_path_factory.mktemp("diffusers") / "tiny"
    made = random_tiny()
    made.text_encoder().save_pretrained(root / "text_encoder")
    made.unet().save_pretrained(root / "unet")
    made.vae().save_pretrained(root / "vae")
    made.tokenizer().save_pretrained(root / "tokenizer")
    write(root / "scheduler" / "scheduler_config.json", made.configs["scheduler"])
    write(
        root / "model_index.json",
        {
            "_class_name": "StableDiffusionPipeline",
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
            "scheduler": ["diffusers", "DDIMScheduler"],
        },
    )
    return root


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "tiny"))


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def change(path: Path, **values: Any) -> None:
    write(path, {**json.loads(path.read_text()), **values})


def test_a_folder_gives_the_networks_that_were_saved(folder: Path) -> None:
    made, loaded = random_tiny(), FolderCheckpoint.open(folder)
    assert loaded.weights() == made.weights()
    assert (loaded.latent, loaded.schedule, loaded.prediction) == (
        made.latent,
        made.schedule,
        made.prediction,
    )
    for part in ("text_encoder", "unet", "vae"):
        expected, found = getattr(made, part)().state_dict(), getattr(loaded, part)().state_dict()
        assert expected.keys() == found.keys()
        for name, weight in expected.items():
            torch.testing.assert_close(found[name], weight, rtol=0, atol=0)
    text = "a Boat, at 7"
    assert loaded.tokenizer()(text).input_ids == made.tokenizer()(text).input_ids


def test_a_folder_exports_without_a_trace_of_where_it_lay(
    folder: Path, tmp_path: Path, shared_traces: Sharing
) -> None:
    with shared_traces():
        report = export(folder, tmp_path / "exported", formats=["onnx"])
    assert report.manifest.source.id == "tiny"
    texts = [path for path in report.path.rglob("*") if path.suffix in (".json", ".onnx")]
    assert len(texts) > 10
    for path in texts:
        assert str(tmp_path).encode() not in path.read_bytes(), path


def test_half_precision_files_are_taken_where_they_are_the_only_ones(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = {name: weight.half() for name, weight in load_file(path).items()}
    path.unlink()
    save_file(weights, folder / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    loaded = FolderCheckpoint.open(folder).unet()
    assert loaded.dtype == torch.float32
    torch.testing.assert_close(loaded.conv_in.weight, weights["conv_in.weight"].float())


def test_making_random_weights_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first = random_tiny().vae().decoder.conv_in.weight
    torch.testing.assert_close(torch.rand(2), expected, rtol=0, atol=0)
    torch.testing.assert_close(random_tiny().vae().decoder.conv_in.weight, first, rtol=0, atol=0)


RELATIVES: list[tuple[str, dict[str, Any], str]] = [
    ("model_index.json", {"_class_name": "StableDiffusion3Pipeline"}, "is a StableDiffusion3"),
    ("model_index.json", {"_class_name": "FluxPipeline"}, "is a FluxPipeline"),
    ("model_index.json", {"unet": ["my_module", "UNet"]}, "as unet; expected diffusers.UNet2D"),
    ("model_index.json", {"vae": ["diffusers", "../evil"]}, "as vae; expected diffusers.Auto"),
    ("model_index.json", {"text_encoder": "CLIPTextModel"}, "as text_encoder; expected"),
    ("model_index.json", {"scheduler": ["os", "system"]}, "as scheduler; expected one of"),
    ("model_index.json", {"scheduler": ["diffusers", "x.y"]}, "as scheduler, which is none"),
    ("unet/config.json", {"addition_embed_type": "text_time"}, "is Stable Diffusion XL without"),
    ("unet/config.json", {"addition_embed_type": "text"}, "a U-Net with the condition 'text'"),
    ("unet/config.json", {"in_channels": 7}, "is an upscaler"),
    ("unet/config.json", {"in_channels": 6}, "is a U-Net with 6 input channels"),
    ("unet/config.json", {"class_embed_type": "projection"}, "is an unCLIP"),
    ("unet/config.json", {"cross_attention_dim": 768}, "embeddings of width 768"),
    ("vae/config.json", {"latents_mean": [0.1] * 4}, "vae has latents_mean = .*only scales"),
    ("scheduler/scheduler_config.json", {"prediction_type": "flow"}, "predicts 'flow'"),
    ("scheduler/scheduler_config.json", {"trained_betas": [0.1]}, "lists its betas one by one"),
    ("scheduler/scheduler_config.json", {"beta_schedule": "sigmoid"}, "curve: input should be"),
]


@pytest.mark.parametrize(("file", "values", "message"), RELATIVES)
def test_relatives_and_strangers_are_named(
    folder: Path, file: str, values: dict[str, Any], message: str
) -> None:
    change(folder / file, **values)
    with pytest.raises(UnsupportedError, match=message):
        facts(folder)


def facts(folder: Path) -> tuple[Any, ...]:
    checkpoint = FolderCheckpoint.open(folder)
    return checkpoint.prediction, checkpoint.schedule


def test_a_folder_says_how_its_authors_sample(folder: Path) -> None:
    change(
        folder / "scheduler/scheduler_config.json",
        _class_name="DPMSolverMultistepScheduler",
        use_karras_sigmas=True,
        solver_order=3,
    )
    defaults = FolderCheckpoint.open(folder).defaults
    assert (defaults.sampler, defaults.scheduler) == ("dpm++2m", "karras")
    assert defaults.sampler_options["order"] == 3
    assert (defaults.width, defaults.height) == (64, 64)  # the U-Net's sample_size, 8 latents


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        (
            {"_class_name": "FlowMatchLCMScheduler"},
            UnsupportedError,
            "no scheduler that sdrt knows",
        ),
        (
            {"_class_name": "DEISMultistepScheduler", "solver_order": 7},
            UsageError,
            "order of deis is 7; expected one of 1, 2, 3",
        ),
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_scheduler_that_sdrt_does_not_know_is_refused_before_the_work(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: dict[str, Any],
    error: type[SdrtError],
    message: str,
    precision: Precision,
) -> None:
    def work(_: object) -> None:
        raise AssertionError("a network was loaded")

    monkeypatch.setattr("sdrt_export.exporter.networks", work)
    change(folder / "scheduler/scheduler_config.json", **config)
    with pytest.raises(error, match=message):
        export(folder, tmp_path / "out", precision)
    assert not (tmp_path / "out").exists()


def test_stable_diffusion_2_is_told_by_its_text_encoder(folder: Path) -> None:
    assert FolderCheckpoint.open(folder).family == "sd1"
    change(folder / "text_encoder/config.json", hidden_act="gelu")
    assert FolderCheckpoint.open(folder).family == "sd2"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"projection_class_embeddings_input_dim": 136}, "with 5 numbers of size conditioning"),
        ({"projection_class_embeddings_input_dim": None}, "with -12 numbers of size conditioning"),
        ({"cross_attention_dim": 64}, "embeddings of width 64 with a text encoder of another"),
        ({"in_channels": 8}, "is an editing model of Stable Diffusion XL"),
    ],
)
def test_relatives_of_xl_are_named(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    made = RandomCheckpoint.from_preset(*read_preset("tiny-sdxl"))
    parts = {**made.configs, "unet": {**made.configs["unet"], **config}}
    for part, settings in parts.items():
        file = "scheduler_config.json" if part == "scheduler" else "config.json"
        write(tmp_path / part / file, settings)
    classes = {
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "scheduler": ["diffusers", "DDIMScheduler"],
    }
    index = {"_class_name": "StableDiffusionXLPipeline", **classes}
    write(tmp_path / "model_index.json", index)
    with pytest.raises(UnsupportedError, match=message):
        FolderCheckpoint.open(tmp_path)
    write(tmp_path / "model_index.json", {**index, "text_encoder_2": [None, None]})
    with pytest.raises(UnsupportedError, match="as text_encoder_2; expected transformers.CLIPText"):
        FolderCheckpoint.open(tmp_path)


@pytest.mark.parametrize("part", ["text_encoder", "unet", "vae"])
@pytest.mark.parametrize("damage", ["truncate", "garbage", "remove", "lose", "reshape"])
def test_damaged_weights_are_refused(folder: Path, part: str, damage: str) -> None:
    (path,) = (folder / part).glob("*.safetensors")
    content = path.read_bytes()
    weights = load_file(path)
    name = max(weights, key=lambda key: weights[key].numel())
    if damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "garbage":
        path.write_bytes(b"\xff" * len(content))
    elif damage == "remove":
        path.unlink()
    elif damage == "lose":
        weights.pop(name)
        save_file(weights, path)
    else:
        weights[name] = weights[name][:1].clone()
        save_file(weights, path)
    with pytest.raises(ArtifactError) as caught:
        getattr(FolderCheckpoint.open(folder), part)()
    assert part in str(caught.value)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_pickled_weights_are_never_loaded(folder: Path, part: str, tmp_path: Path) -> None:
    (path,) = (folder / part).glob("*.safetensors")
    canary = tmp_path / "canary"

    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
            return Path.touch, (canary,)

    torch.save({"weight": Evil()}, path.with_suffix(".bin"))
    path.unlink()
    with pytest.raises(ArtifactError):
        getattr(FolderCheckpoint.open(folder), part)()
    assert not canary.exists()


@pytest.mark.parametrize("missing", ["unet/config.json", "scheduler/scheduler_config.json"])
def test_an_incomplete_folder_is_refused(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(ArtifactError, match="the model is incomplete"):
        FolderCheckpoint.open(folder)


def test_a_part_that_the_index_does_not_list_is_refused(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    del index["vae"]
    write(folder / "model_index.json", index)
    with pytest.raises(ArtifactError, match="lists no vae"):
        FolderCheckpoint.open(folder)


def test_what_is_no_diffusers_folder_is_named(
    tmp_path: Path, tiny_exports: dict[str, Path]
) -> None:
    for path, kind in (
        (tmp_path, "an empty folder"),
        (tmp_path / "none", "the path does not exist"),
        (tiny_exports["fp32"], "an artifact of sdrt"),
    ):
        with pytest.raises(SdrtError, match=kind):
            FolderCheckpoint.open(path)
