"""A ControlNet in one file, in the naming of its authors' code (`control_model.`)."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import ControlNetModel

from sdrt.adapters.unet_layer_names import Names, renamed, unet_names
from sdrt.errors import ArtifactError, UnsupportedError, UsageError
from sdrt.manifest import Source
from sdrt_export.sources.checkpoint import SIZE_CONDITIONING_WIDTHS, Config
from sdrt_export.sources.controlnet import ControlNetCheckpoint
from sdrt_export.sources.single_file.architecture import unet_levels
from sdrt_export.sources.single_file.checkpoint import LEFTOVERS
from sdrt_export.sources.single_file.diffusers_settings import KNOWN_HEADS
from sdrt_export.sources.single_file.weights_file import Shape, WeightsFile, refuse_weights

logger = logging.getLogger(__name__)

PREFIX = "control_model."
HINTS = "input_hint_block."
WHOLE_MODEL = ("model.diffusion_model.", "first_stage_model.", "cond_stage_model.", "model_ema.")
"""Networks that files of the authors hold too: those that the ControlNet was trained with."""
POOLED_XL = 1280  # the width of the pooled embedding of SDXL's second text encoder
DIFFUSERS = re.compile(r"^controlnet_(cond_embedding|down_blocks|mid_block)\.")

Shapes = Mapping[str, Shape]


@dataclass(frozen=True)
class ControlNetFileCheckpoint(ControlNetCheckpoint):
    """A file with a ControlNet's weights."""

    file: WeightsFile
    prefix: str
    """What its names begin with."""

    @classmethod
    def of(cls, file: WeightsFile) -> "ControlNetFileCheckpoint":
        """Recognise its sizes, and account for each tensor.

        Raises `ArtifactError` for weights that are missing or left over, and `UnsupportedError` for
        other sizes than those of Stable Diffusion 1, 2 and XL.
        """
        path = file.path
        prefix = PREFIX if any(name.startswith(PREFIX) for name in file.shapes) else ""
        own = {
            name.removeprefix(prefix): shape
            for name, shape in file.shapes.items()
            if name.startswith(prefix)
        }
        if not prefix and any(DIFFUSERS.match(name) for name in own):
            raise UsageError(
                f"{path} has diffusers' names, which do not show all sizes; give the folder that "
                "it is in, with its config.json"
            )
        try:
            config = _config(path, own)
        except (KeyError, IndexError, ValueError) as error:
            raise ArtifactError(
                f"{path} is like a ControlNet, but incomplete or of another shape ({error}); "
                "expected a complete file"
            ) from error
        checkpoint = cls(path.stem, Source(id=path.name), config, file, prefix)
        checkpoint._account(own)
        return checkpoint

    def network(self) -> ControlNetModel:
        """Load it in fp32."""
        module, names = self.empty(), self._names()
        weights = self.file.read(self.prefix + theirs for theirs in names.values())
        own = {ours: weights[self.prefix + theirs] for ours, theirs in names.items()}
        module.load_state_dict(own, assign=True)
        loaded: ControlNetModel = module.eval().requires_grad_(False)
        return loaded

    def _names(self) -> dict[str, str]:
        """The name in the file of each weight of the network, without the prefix."""
        table = {ours: theirs for theirs, ours in controlnet_names(self.config).items()}
        return {name: renamed(name, table) for name in self.empty().state_dict()}

    def _account(self, own: Shapes) -> None:
        """Every weight is used once; raises `ArtifactError` that lists the rest."""
        state, names = self.empty().state_dict(), self._names()
        others = [name for name in self.file.shapes if not name.startswith(self.prefix)]
        strange = [
            name
            for name in others
            if not name.startswith(WHOLE_MODEL) and not LEFTOVERS.fullmatch(name)
        ]
        problems = {
            "are missing": [name for name in names.values() if name not in own],
            "are not known": sorted({*own} - {*names.values()}) + strange,
            "have another shape than their place": [
                theirs
                for ours, theirs in names.items()
                if theirs in own and own[theirs] != tuple(state[ours].shape)
            ],
        }
        refuse_weights(self.file.path, problems)
        count, rest = len(names), len(others)
        logger.info("%s: %d weights used, %d of other networks", self.file.path, count, rest)


def is_controlnet_file(shapes: Shapes) -> bool:
    """Whether names of weights are a ControlNet's, by whatever code they were written."""
    return any(
        name.startswith((PREFIX, HINTS)) or DIFFUSERS.match(name) is not None for name in shapes
    )


def controlnet_names(config: Config) -> Names:
    """Prefixes of names: the authors' -> diffusers'."""
    levels, layers = len(config["block_out_channels"]), int(config["layers_per_block"])
    names = unet_names({**config, "up_block_types": ()})
    for i in range(levels * (layers + 1)):
        names[f"zero_convs.{i}.0"] = f"controlnet_down_blocks.{i}"
    names["middle_block_out.0"] = "controlnet_mid_block"
    blocks = 2 * (len(config["conditioning_embedding_out_channels"]) - 1)
    embedding = "controlnet_cond_embedding"
    names[f"{HINTS}0"] = f"{embedding}.conv_in"
    for i in range(blocks):
        names[f"{HINTS}{2 * (i + 1)}"] = f"{embedding}.blocks.{i}"
    names[f"{HINTS}{2 * (blocks + 1)}"] = f"{embedding}.conv_out"
    return {theirs: ours for theirs, ours in names.items() if not theirs.startswith("out")}


def _config(path: Path, shapes: Shapes) -> Config:
    """diffusers' configuration, read off names and shapes."""
    levels = unet_levels(shapes)
    channels = [level.channels for level in levels]
    attention = min(name for name in shapes if name.endswith("attn2.to_k.weight"))
    place = attention[: attention.index("transformer_blocks.")]
    context, depths = shapes[attention][1], [level.depth or 1 for level in levels]
    kinds = ["CrossAttn" if level.depth else "" for level in levels]
    config: Config = {
        "in_channels": shapes["input_blocks.0.0.weight"][1],
        "conditioning_channels": shapes[f"{HINTS}0.weight"][1],
        "cross_attention_dim": context,
        "attention_head_dim": _heads(path, context, channels),
        "use_linear_projection": len(shapes[f"{place}proj_in.weight"]) == 2,
        "transformer_layers_per_block": depths[0] if len({*depths}) == 1 else depths,
        "block_out_channels": channels,
        "layers_per_block": levels[0].blocks,
        "down_block_types": [f"{kind}DownBlock2D" for kind in kinds],
        "conditioning_embedding_out_channels": _hint_channels(shapes),
    }
    return {**config, **_added(shapes)}


def _hint_channels(shapes: Shapes) -> list[int]:
    """Channels of the hint's embedding, level by level; each level but the first has two layers."""
    layers = 0
    while f"{HINTS}{2 * layers}.weight" in shapes:
        layers += 1
    channels = [shapes[f"{HINTS}{2 * i}.weight"][0] for i in range(layers)]
    return [channels[0], *channels[2:-1:2]]


def _added(shapes: Shapes) -> dict[str, Any]:
    """Settings of SDXL's inputs besides timestep and embeddings."""
    if "label_emb.0.0.weight" not in shapes:
        return {}
    width = shapes["label_emb.0.0.weight"][1]
    return {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": (width - POOLED_XL) // SIZE_CONDITIONING_WIDTHS[2],
        "projection_class_embeddings_input_dim": width,
    }


def _heads(path: Path, context: int, channels: list[int]) -> int | list[int]:
    """The number of attention heads of each level, which diffusers calls their dimension."""
    known = KNOWN_HEADS.get((context, channels[0]))
    if known is None:
        raise UnsupportedError(
            f"{path} is a ControlNet with {channels[0]} channels and embeddings of {context}, "
            "which is for none of Stable Diffusion 1, 2 and XL; its weights do not show the number "
            "of attention heads: give it as a diffusers folder"
        )
    if "num_heads" in known:
        return known["num_heads"]
    return [max(width // known["num_head_channels"], 1) for width in channels]
