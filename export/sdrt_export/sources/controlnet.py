"""ControlNets as sources of an export: diffusers folders, single files, or random weights."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel

from sdrt.artifact.diffusers_config import is_xl
from sdrt.errors import UnsupportedError, UsageError
from sdrt.files.text_file import read_json
from sdrt.manifest import Family, Source
from sdrt_export.presets import Preset
from sdrt_export.sources.checkpoint import SIZE_CONDITIONING_WIDTHS, Config
from sdrt_export.sources.diffusers_weights import RANDOM, load_weights

CLASS = "ControlNetModel"
STEM = "diffusion_pytorch_model"  # of weight files
EXPORTED = "sdrt exports ControlNets of Stable Diffusion 1, 2 and XL (diffusers' ControlNetModel)"
XL_NUMBERS = SIZE_CONDITIONING_WIDTHS[2]  # of size conditioning
ORDERS = ("rgb", "bgr")


@dataclass(frozen=True)
class ControlNetCheckpoint(ABC):
    """A ControlNet in torch, with its configuration."""

    name: str
    source: Source
    config: Config
    """As diffusers writes it for a `ControlNetModel`."""

    @abstractmethod
    def network(self) -> ControlNetModel:
        """Load it in fp32."""

    @property
    def family(self) -> Family:
        """The version of Stable Diffusion that it is for."""
        if is_xl(self.config):
            return "sdxl"
        return "sd2" if self.config.get("use_linear_projection") else "sd1"

    @property
    def is_pooled(self) -> bool:
        """Whether its outputs are means over the picture."""
        return bool(self.config.get("global_pool_conditions"))

    @property
    def pooled_width(self) -> int:
        """Width of the pooled embedding that it takes; 0 if it takes none."""
        if not is_xl(self.config):
            return 0
        whole = int(self.config["projection_class_embeddings_input_dim"])
        return whole - XL_NUMBERS * int(self.config["addition_time_embed_dim"])

    @property
    def levels(self) -> tuple[int, ...]:
        """How often the latents' sides are halved in each output, the middle's last."""
        network = self.empty()
        last = len(network.config["block_out_channels"]) - 1
        levels = [0]
        for level in range(last + 1):
            layers = len(network.down_blocks[level].resnets)
            levels += [level] * layers + [level + 1] * (level < last)
        return (*levels, last)

    def empty(self) -> ControlNetModel:
        """The network without weights; raises `UsageError` for a configuration that cannot be."""
        with torch.device("meta"):
            try:
                network: ControlNetModel = ControlNetModel.from_config(self.config)
            except (TypeError, ValueError) as error:
                raise UsageError(f"the ControlNet {self.name}: {error}") from error
        return network

    def weights(self) -> int:
        """The number of its weights; loads none of them."""
        return sum(weight.numel() for weight in self.empty().parameters())


@dataclass(frozen=True)
class ControlNetFolderCheckpoint(ControlNetCheckpoint):
    """A folder in diffusers' layout, with safetensors weights."""

    root: Path

    @classmethod
    def open(cls, root: Path) -> "ControlNetFolderCheckpoint":
        """Check the configuration; loads no weights."""
        config = read_json(root / "config.json")
        assert isinstance(config, dict)
        check_config(root, config)
        name = root.resolve().name
        return cls(name, Source(id=name), config, root)

    def network(self) -> ControlNetModel:
        """Load it in fp32."""
        refused = (*RANDOM, "unexpected_keys")
        loaded: ControlNetModel = load_weights(ControlNetModel, self.root, STEM, refused=refused)
        return loaded


@dataclass(frozen=True)
class RandomControlNet(ControlNetCheckpoint):
    """Random weights of a geometry, also where training starts from zeros."""

    seed: int = 0

    @classmethod
    def from_preset(cls, name: str, preset: Preset) -> "RandomControlNet":
        """A ControlNet of a preset's geometry, which is made on demand."""
        assert preset.controlnet is not None
        check_config(Path(name), preset.controlnet)
        return cls(name, Source(id=f"random:{name}"), preset.controlnet)

    def network(self) -> ControlNetModel:
        """Make it."""
        self.empty()  # a geometry that cannot be is refused with its reason
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            network: ControlNetModel = ControlNetModel.from_config(self.config)
            for convolution in _zeroed(network):
                convolution.reset_parameters()
        return network.eval().requires_grad_(False)


def is_controlnet_folder(path: Path) -> bool:
    """Whether a folder holds a ControlNet of diffusers, of any kind."""
    config = read_json(path / "config.json") if path.is_dir() else None
    return isinstance(config, dict) and "ControlNet" in str(config.get("_class_name"))


def check_config(where: Path, config: Config) -> None:
    """Raise `UnsupportedError` for relatives of the ControlNets that sdrt exports."""
    name = config.get("_class_name", CLASS)
    order = config.get("controlnet_conditioning_channel_order", "rgb")
    reason = None
    if name != CLASS:
        reason = f"a {name}"
    elif (channels := config.get("conditioning_channels", 3)) != 3:
        reason = f"a ControlNet for hints of {channels} channels"
    elif order not in ORDERS:
        reason = f"a ControlNet for colours in the order {order!r}"
    elif config.get("class_embed_type") or config.get("encoder_hid_dim_type"):
        reason = "a ControlNet for an unCLIP or image-conditioned U-Net"
    elif config.get("addition_embed_type") not in (None, "text_time"):
        reason = f"a ControlNet with the condition {config['addition_embed_type']!r}"
    if reason:
        raise UnsupportedError(f"{where} is {reason}; {EXPORTED}")


def _zeroed(network: ControlNetModel) -> Iterator[Any]:
    """The convolutions that training starts from zeros, so that a new ControlNet adds nothing."""
    yield from network.controlnet_down_blocks
    yield network.controlnet_mid_block
    yield network.controlnet_cond_embedding.conv_out
