"""Presets are complete, and every mistake in one is named."""

from pathlib import Path

import pytest
import yaml

from sdrt.errors import UsageError
from sdrt_export.presets import presets, read_preset
from sdrt_export.sources.controlnet import RandomControlNet
from sdrt_export.sources.random_weights import RandomCheckpoint

TINY = Path(__file__).parents[2] / "configs" / "tiny.yaml"


def test_the_presets_that_come_with_sdrt() -> None:
    published = {"sd15", "sd21", "sd21-v", "sdxl", "sdxl-turbo", "sdxl-refiner", "demo"}
    published |= {"sd-turbo", "lcm", "sd15-inpaint", "sd2-inpaint", "sd2-depth", "instruct-pix2pix"}
    twins = {"tiny", "tiny-sd2", "tiny-sd2-v", "tiny-sdxl", "tiny-sdxl-refiner"}
    twins |= {"tiny-sd-turbo", "tiny-lcm", "tiny-inpaint", "tiny-instruct", "tiny-depth"}
    assert published | twins <= set(presets())


CONTROLNETS = {
    "sd15-controlnet": 361_279_120,
    "sd21-controlnet": 364_228_240,
    "sdxl-controlnet": 1_251_014_160,
}
"""The published sizes."""


@pytest.mark.parametrize("name", sorted(n for n in presets() if n.endswith("-controlnet")))
def test_every_preset_of_a_controlnet_can_be_built(name: str) -> None:
    checkpoint = RandomControlNet.from_preset(*read_preset(name))
    model = name.removesuffix("-controlnet")
    assert checkpoint.weights() == CONTROLNETS.get(name, checkpoint.weights()) > 0
    whole = RandomCheckpoint.from_preset(*read_preset(model))
    assert checkpoint.family == whole.family
    unet = whole.configs["unet"]
    for key in checkpoint.config.keys() & unet.keys():
        assert checkpoint.config[key] == unet[key], key


@pytest.mark.parametrize("name", sorted(n for n in presets() if not n.endswith("-controlnet")))
def test_every_preset_describes_networks_that_can_be_built(name: str) -> None:
    preset_name, preset = read_preset(name)
    assert preset_name == name
    assert preset.geometry is not None
    checkpoint = RandomCheckpoint.from_preset(name, preset)
    # The published sizes: 123 M + 860 M + 84 M, 340 M + 866 M + 84 M,
    # 123 M + 695 M + 2567 M + 84 M, and without the first 695 M + 2260 M + 84 M.
    weights = {"sd15": 1_066_235_307, "sd21": 1_289_952_427, "sd21-v": 1_289_952_427}
    weights |= dict.fromkeys(("sdxl", "sdxl-turbo"), 3_468_837_867)
    weights["sd-turbo"] = weights["sd21"]
    # The first convolution, 3x3 to 320, takes more channels; guidance goes through one layer.
    weights["sd15-inpaint"] = weights["sd15"] + 5 * 9 * 320
    weights["sd2-inpaint"] = weights["sd21"] + 5 * 9 * 320
    weights["sd2-depth"] = weights["sd21"] + 1 * 9 * 320
    weights["instruct-pix2pix"] = weights["sd15"] + 4 * 9 * 320
    weights["lcm"] = weights["sd15"] + 256 * 320
    weights["sdxl-refiner"] = 3_037_840_363
    assert checkpoint.weights() == weights.get(name, checkpoint.weights()) > 0
    assert checkpoint.latent.downscale == 8
    assert preset.defaults.width % 8 == preset.defaults.height % 8 == 0


def changed(folder: Path, **change: object) -> Path:
    data = {**yaml.safe_load(TINY.read_text()), **change}
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_a_preset_can_be_a_file_of_ones_own(tmp_path: Path) -> None:
    name, preset = read_preset(changed(tmp_path, precision="bf16", formats=["onnx"]))
    assert (name, preset.precision, preset.formats) == ("mine", "bf16", ("onnx",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"precison": "fp32"}, "unknown key 'precison'; known: .*; did you mean 'precision'"),
        ({"precision": "fp8"}, "precision: input should be 'fp32', 'bf16' or 'int8'"),
        ({"formats": ["tflite"]}, "formats.0: input should be 'onnx' or 'openvino'"),
        ({"defaults": {"steps": 3}}, "defaults: unknown key 'steps'; known: width, height"),
        ({"defaults": {"width": -8}}, "defaults.width: input should be greater than 0"),
        ({"geometry": {"unte": {}}}, "geometry: unknown key 'unte'; .* did you mean 'unet'"),
        (
            {"geometry": {"unet": {"channels": 3}}},
            r"geometry\.unet: unknown key 'channels'; known:",
        ),
        (
            {"geometry": {"unet": {}, "vae": {}, "scheduler": {"_class_name": "LCMSchedule"}}},
            "_class_name is 'LCMSchedule'; known: DDIMScheduler, .*, LCMScheduler",
        ),
        (
            {"geometry": {"scheduler": {"original_inference_steps": 50}}},
            r"geometry\.scheduler: unknown key 'original_inference_steps'; known: ",
        ),
        ({"geometry": None}, "expected either source or geometry"),
        ({"source": "folder"}, "expected either source or geometry"),
    ],
)
def test_a_mistake_is_named_with_what_is_known(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read_preset(changed(tmp_path, **change))


@pytest.mark.parametrize(
    "content", ["", "- a\n", "a: [", "&a [*a, *a]", "!!python/object:os.system x"]
)
def test_yaml_that_is_no_preset_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    with pytest.raises(UsageError):
        read_preset(path)


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match="no preset 'sd16'; known: demo, instruct-pix2pix, lcm, sd-turbo, sd15, "
    ):
        read_preset("sd16")
