"""ControlNets for the small models of the tests, and pictures that they follow."""

from typing import Any

from PIL import Image, ImageDraw

from sdrt.manifest import Source
from sdrt_export.presets import read_preset
from sdrt_export.sources.controlnet import RandomControlNet
from tests.data.make_tiny import committed_preset

UNET_ONLY = ("up_block_types", "out_channels", "sample_size")
HINT_CHANNELS = (8, 8, 12, 16)


def controlnet_of(unet: dict[str, Any], name: str, seed: int = 0, **more: Any) -> RandomControlNet:
    """A ControlNet for a U-Net of this geometry."""
    own = {key: value for key, value in unet.items() if key not in UNET_ONLY}
    config = {**own, "conditioning_embedding_out_channels": HINT_CHANNELS, **more}
    return RandomControlNet(name, Source(id=name), config, seed)


def tiny_controlnet_checkpoint(**more: Any) -> RandomControlNet:
    """One for the model in `tests/data/tiny`."""
    geometry = committed_preset().geometry
    assert geometry
    return controlnet_of(geometry.unet, "control", **more)


def xl_controlnet_checkpoint() -> RandomControlNet:
    """One for the preset `tiny-sdxl`."""
    geometry = read_preset("tiny-sdxl")[1].geometry
    assert geometry
    return controlnet_of(geometry.unet, "xl-control")


def drawing(size: tuple[int, int] = (64, 64), turned: bool = False) -> Image.Image:
    """A picture with edges, of (width, height)."""
    image = Image.new("RGB", size, "black")
    draw = ImageDraw.Draw(image)
    width, height = size
    draw.ellipse((width // 8, height // 8, width // 2, height // 2), fill="yellow")
    draw.rectangle((width // 2, height // 3, width - 8, height - 12), fill="blue", outline="white")
    return image.transpose(Image.Transpose.ROTATE_180) if turned else image
