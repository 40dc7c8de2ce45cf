"""LDM's YAML files are read as data; what they say that is not known here is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sdrt.errors import SdrtError, UnsupportedError, UsageError
from sdrt.manifest import Prediction
from sdrt_export.presets import presets, read_preset
from sdrt_export.sources.random_weights import RandomCheckpoint
from sdrt_export.sources.single_file.architecture import check_agreement, recognise
from sdrt_export.sources.single_file.checkpoint import SingleFileCheckpoint
from sdrt_export.sources.single_file.ldm_yaml import (
    exported_configs,
    ldm_configs,
    read_ldm_config,
)
from tests.export.sources.single_file.twins import ldm_shapes, ldm_yaml, save, write_yaml

BUNDLED: dict[str, tuple[str, Prediction, str, int]] = {
    "v1-inference": ("sd15", "epsilon", "fp32", 64),
    "v2-inference": ("sd21", "epsilon", "fp32", 64),
    "v2-inference-bf16": ("sd21", "epsilon", "bf16", 64),
    "v2-inference-fp32": ("sd21", "epsilon", "fp32", 64),
    "v2-inference-v": ("sd21-v", "v_prediction", "fp32", 96),
    "v2-inference-v-bf16": ("sd21-v", "v_prediction", "bf16", 96),
    "v2-inference-v-fp32": ("sd21-v", "v_prediction", "fp32", 96),
    "v2-inpainting-inference": ("sd2-inpaint", "epsilon", "fp32", 64),
    "v2-midas-inference": ("sd2-depth", "epsilon", "fp32", 64),
}
NOT_EXPORTED = {
    "x4-upscaling": "LatentUpscaleDiffusion, which is an upscaler; sdrt does not export these yet",
    "v2-1-stable-unclip-h-inference": "is an unCLIP model; sdrt does not export these yet",
    "v2-1-stable-unclip-l-inference": "is an unCLIP model; sdrt does not export these yet",
}


def test_bundled_configurations_are_no_presets() -> None:
    assert exported_configs().keys() == BUNDLED.keys()
    assert ldm_configs().keys() == BUNDLED.keys() | NOT_EXPORTED.keys()
    assert not ldm_configs().keys() & presets().keys()


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_configuration_describes_the_preset_of_its_model(name: str) -> None:
    preset, prediction, precision, size = BUNDLED[name]
    made = RandomCheckpoint.from_preset(*read_preset(preset))
    config = read_ldm_config(name)
    assert (config.prediction, config.precision) == (prediction, precision)
    assert config.params.image_size == made.configs["unet"]["sample_size"] == size
    assert config.params.scale_factor == made.latent.scale
    assert (config.params.linear_start, config.params.linear_end) == (
        made.schedule.beta_start,
        made.schedule.beta_end,
    )
    check_agreement(Path("x"), recognise(Path("x"), ldm_shapes(made)), config)


@pytest.mark.parametrize("name", NOT_EXPORTED)
def test_a_bundled_configuration_of_what_is_not_exported_yet_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedError, match=f"{name}.yaml: model is .*{NOT_EXPORTED[name]}$"):
        read_ldm_config(name)


@pytest.mark.parametrize(
    ("family", "size", "side"),
    [("sd2-v", 64, 768), ("sd2-v", 96, 768), ("sd2-v", 8, 64), ("sd2", 64, 512), ("sd1", 64, 512)],
)
def test_published_files_of_768_pixels_that_still_say_512_are_known(
    tmp_path: Path, family: str, size: int, side: int
) -> None:
    content = ldm_yaml(family)
    content["model"]["params"]["image_size"] = size
    path = write_yaml(tmp_path / "published.yaml", content)
    assert read_ldm_config(path).side == side
    weights = save(family, tmp_path / "model.safetensors")
    checkpoint = SingleFileCheckpoint.open(weights, path)
    assert (checkpoint.defaults.width, checkpoint.defaults.height) == (side, side)
    assert checkpoint.configs["unet"]["sample_size"] * 8 == side


# As the original repositories have them, with everything that training needs.
V2_BF16 = """
model:
  base_learning_rate: 1.0e-4
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    linear_start: 0.00085
    linear_end: 0.0120
    num_timesteps_cond: 1
    log_every_t: 200
    timesteps: 1000
    first_stage_key: "jpg"
    cond_stage_key: "txt"
    image_size: 64
    channels: 4
    cond_stage_trainable: false
    conditioning_key: crossattn
    monitor: val/loss_simple_ema
    scale_factor: 0.18215
    use_ema: False
    scheduler_config: {target: ldm.lr_scheduler.LambdaLinearScheduler, params: {f_start: [1.e-6]}}
    unet_config:
      target: ldm.modules.diffusionmodules.openaimodel.UNetModel
      params: {use_checkpoint: False, use_fp16: False, use_bf16: True, image_size: 32,
        in_channels: 4, out_channels: 4, model_channels: 320, attention_resolutions: [4, 2, 1],
        num_res_blocks: 2, channel_mult: [1, 2, 4, 4], num_head_channels: 64, legacy: False,
        use_spatial_transformer: True, use_linear_in_transformer: True, transformer_depth: 1,
        context_dim: 1024}
    first_stage_config:
      target: ldm.models.autoencoder.AutoencoderKL
      params:
        embed_dim: 4
        monitor: val/rec_loss
        ddconfig: {double_z: true, z_channels: 4, resolution: 256, in_channels: 3, out_ch: 3,
          ch: 128, ch_mult: [1, 2, 4, 4], num_res_blocks: 2, attn_resolutions: [], dropout: 0.0}
        lossconfig: {target: torch.nn.Identity}
    cond_stage_config:
      target: ldm.modules.encoders.modules.FrozenOpenCLIPEmbedder
      params: {freeze: True, layer: "penultimate"}
"""


def test_a_published_file_says_the_same_as_the_bundled_one(tmp_path: Path) -> None:
    path = write_yaml(tmp_path / "v2-inference-bf16.yaml", yaml.safe_load(V2_BF16))
    config, bundled = read_ldm_config(path), read_ldm_config("v2-inference-bf16")
    assert config.precision == "bf16"
    used = {"linear_start", "linear_end", "timesteps", "parameterization", "scale_factor"}
    assert config.params.model_dump(include=used) == bundled.params.model_dump(include=used)
    assert config.params.image_size == bundled.params.image_size
    assert config.params.unet_config.params.context_dim == 1024


def test_what_a_file_leaves_out_is_the_original_codes_default(tmp_path: Path) -> None:
    content = ldm_yaml("sd1")
    for key in ("linear_start", "linear_end", "timesteps", "scale_factor", "image_size"):
        del content["model"]["params"][key]
    params = read_ldm_config(write_yaml(tmp_path / "short.yaml", content)).params
    assert (params.linear_start, params.linear_end, params.timesteps) == (1e-4, 2e-2, 1000)
    assert (params.scale_factor, params.parameterization) == (1.0, "eps")


def test_no_target_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    content = ldm_yaml("sd2")
    content["model"]["params"]["unet_config"]["target"] = "evil.UNet"
    with pytest.raises(UnsupportedError, match="unet_config is evil.UNet; known: ldm.modules"):
        read_ldm_config(write_yaml(tmp_path / "evil.yaml", content))
    content = ldm_yaml("sd2")
    content["model"]["params"]["first_stage_config"]["params"]["lossconfig"]["target"] = "evil.X"
    read_ldm_config(write_yaml(tmp_path / "harmless.yaml", content))  # nobody asks for a loss


BAD: list[tuple[tuple[str, ...], Any, type[SdrtError], str]] = [
    (
        ("target",),
        "ldm.models.diffusion.ddpm.LatentUpscaleFinetuneDiffusion",
        UnsupportedError,
        "LatentUpscaleFinetuneDiffusion, which is an upscaler; sdrt does not export these yet",
    ),
    (
        ("target",),
        "sgm.models.diffusion.DiffusionEngine",
        UnsupportedError,
        "which is a model of Stability's generative-models",
    ),
    (("params",), 3, UsageError, "is no LDM configuration"),
    (("params", "unet_config"), None, UsageError, "has no unet_config with a target; expected"),
    (
        ("params", "cond_stage_config", "params", "layer"),
        "last",
        UnsupportedError,
        "takes the last layer of its text encoder; sdrt takes the penultimate one",
    ),
    (
        ("params", "parameterization"),
        "flow",
        UsageError,
        "parameterization: input should be 'eps', 'v' or 'x0'",
    ),
    (
        ("params", "conditioning_key"),
        "concat",
        UsageError,
        "conditioning_key: input should be 'crossattn' or 'hybrid'",
    ),
    (
        ("params", "unet_config", "params", "num_classes"),
        "sequential",
        UsageError,
        "unet_config.params.num_classes: input should be None",
    ),
    (
        ("params", "unet_config", "params", "new_layers"),
        3,
        UsageError,
        "unet_config.params.new_layers: extra inputs are not permitted",
    ),
    (("params", "linear_end"), float("nan"), UsageError, "linear_end: .*finite"),
]


@pytest.mark.parametrize(("where", "value", "error", "message"), BAD)
def test_what_is_not_known_is_refused(
    tmp_path: Path, where: tuple[str, ...], value: Any, error: type[SdrtError], message: str
) -> None:
    content = ldm_yaml("sd2")
    inner = content["model"]
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    with pytest.raises(error, match=message):
        read_ldm_config(write_yaml(tmp_path / "bad.yaml", content))


def test_code_in_yaml_is_not_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    path = tmp_path / "evil.yaml"
    path.write_text(f"model: !!python/object/apply:os.system ['touch {canary}']")
    with pytest.raises(UsageError, match="is not valid YAML"):
        read_ldm_config(path)
    assert not canary.exists()


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no LDM configuration 'v3'; known: v1-inference, v2-inf"):
        read_ldm_config("v3")
