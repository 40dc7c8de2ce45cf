"""The networks of a checkpoint as modules with named inputs and outputs, ready for export."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from sdrt.artifact.controlnet import CONTROLNET
from sdrt.artifact.diffusers_config import is_xl
from sdrt.manifest import PICTURE, POOLED, TINY_DECODER
from sdrt_export.graphs.fast_blocks import UpsampleToSkip, fuse_attention, split_gates
from sdrt_export.graphs.optimum_configs import exporter_config
from sdrt_export.sources.checkpoint import Checkpoint
from sdrt_export.sources.controlnet import ControlNetCheckpoint
from sdrt_export.sources.lora import merged
from sdrt_export.sources.tiny_vae import open_tiny_vae

TOKENS = 77  # of one chunk; CLIP's positions

Tensors = dict[str, torch.Tensor]
Axes = dict[str, dict[int, str]]


@dataclass(frozen=True)
class ExportableNetwork:
    """A module with named inputs and outputs, and the names of their free axes."""

    name: str
    """The network's name in the artifact."""
    module: torch.nn.Module
    """The network as torch runs it: the reference."""
    prepare: Callable[[], None]
    """Brings the module into the form to trace, after which torch cannot run it."""
    config: dict[str, Any]
    """The content of its `config.json`."""
    example: Tensors
    """Inputs to trace with, by their names."""
    input_axes: Axes
    """Free axes of each input."""
    output_axes: Axes
    """Free axes of each output."""


def networks(checkpoint: Checkpoint) -> Iterator[ExportableNetwork]:
    """Load and yield one network after another, each with modules of its own."""
    if is_xl(checkpoint.configs["unet"]):
        yield from _xl_networks(checkpoint)
    else:
        yield _exportable("text_encoder", TextEncoderModule(merged(checkpoint, "text_encoder")))
        yield _exportable("unet", UNetModule(merged(checkpoint, "unet")))
    yield _exportable("vae_decoder", VaeDecoderModule(checkpoint.vae()))
    yield _exportable("vae_encoder", VaeEncoderModule(checkpoint.vae()))
    if checkpoint.tiny_vae:
        tiny = open_tiny_vae(checkpoint.tiny_vae, checkpoint.latent)
        yield _exportable(TINY_DECODER, TinyVaeDecoderModule(tiny, checkpoint.latent.scale))


def _xl_networks(checkpoint: Checkpoint) -> Iterator[ExportableNetwork]:
    """The networks of SDXL that differ from those of other Stable Diffusions."""
    for name in checkpoint.text_encoders:
        encoder = XlTextEncoderModule(merged(checkpoint, name))
        encoder.reads_text_to(checkpoint.tokenizer(name).eos_token_id)
        yield _exportable(name, encoder, is_xl=True)
    pooled = checkpoint.configs["text_encoder_2"]["projection_dim"]
    # The names by which Optimum's dummy inputs find their widths.
    facts = {
        "text_encoder_projection_dim": pooled,
        "requires_aesthetics_score": checkpoint.is_refiner,
    }
    yield _exportable("unet", XlUNetModule(merged(checkpoint, "unet")), is_xl=True, facts=facts)


class TextEncoderModule(torch.nn.Module):
    """Token ids (batch, 77) -> states of the last layer (batch, 77, width), and of every layer.

    The second output, (batch, layers, 77, width), is for `clip_skip`: each layer's states through
    the final layer norm, as diffusers takes them.
    """

    def __init__(self, encoder: CLIPTextModel) -> None:
        super().__init__()
        self.network = encoder

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: D102
        outputs = self.network(input_ids=input_ids, output_hidden_states=True)
        layers = torch.stack(outputs.hidden_states[1:], dim=1)  # the first are the embeddings
        return outputs.last_hidden_state, self.network.final_layer_norm(layers)

    def prepare(self) -> None:
        """Do nothing: the engines fuse its small attention by themselves."""


class XlTextEncoderModule(torch.nn.Module):
    """Token ids (batch, 77) -> the outputs of a text encoder of SDXL, as Optimum orders them.

    The second encoder's projected embedding of the whole text (batch, width) comes first. Then come
    the last state, for the first encoder its pooled one, and the states that enter each layer and
    leave the last, all (batch, 77, width), without the norm; SDXL takes the last but one of them.
    """

    def __init__(self, encoder: CLIPTextModel | CLIPTextModelWithProjection) -> None:
        super().__init__()
        self.network = encoder

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, ...]:  # noqa: D102
        outputs = self.network(input_ids=input_ids, output_hidden_states=True)
        if isinstance(self.network, CLIPTextModelWithProjection):
            first = outputs[POOLED], outputs.last_hidden_state
        else:
            first = outputs.last_hidden_state, outputs.pooler_output
        return *first, *outputs.hidden_states

    def reads_text_to(self, end: int) -> None:
        """Take the embedding of a whole text at its first `end`.

        Older configurations give 2 for every text encoder, for which transformers takes the largest
        id: the same place, until words are added to the vocabulary.
        """
        self.network.config.eos_token_id = end
        getattr(self.network, "text_model", self.network).eos_token_id = end

    def prepare(self) -> None:
        """Do nothing: the engines fuse its small attention by themselves."""


class UNetModule(torch.nn.Module):
    """Latents, timestep, embeddings -> prediction of the latents' shape.

    Models with guidance inside also take the guidance scale, as an embedding (batch, width).
    """

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.network = unet

    def forward(  # noqa: D102
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        timestep_cond: torch.Tensor | None = None,
    ) -> torch.Tensor:
        outputs = self.network(
            sample,
            timestep,
            encoder_hidden_states,
            timestep_cond=timestep_cond,
            return_dict=False,
        )
        return outputs[0]  # type: ignore[no-any-return]

    def prepare(self) -> None:
        """Replace attention, gated layers and upsampling."""
        fuse_attention(self.network)
        split_gates(self.network)
        for block in self.network.up_blocks:
            if block.upsamplers:
                block.upsamplers[0] = UpsampleToSkip(block.upsamplers[0].conv)
        # The U-Net passes the skip's size on only if the latents are no multiple of this power of
        # two. None is a multiple of 2^40, so it always does.
        self.network.num_upsamplers = 40


class XlUNetModule(UNetModule):
    """As `UNetModule`, with an embedding of the whole text and size conditioning."""

    def forward(  # type: ignore[override]  # noqa: D102
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        text_embeds: torch.Tensor,
        time_ids: torch.Tensor,
        timestep_cond: torch.Tensor | None = None,
    ) -> torch.Tensor:
        outputs = self.network(
            sample,
            timestep,
            encoder_hidden_states,
            timestep_cond=timestep_cond,
            added_cond_kwargs={"text_embeds": text_embeds, "time_ids": time_ids},
            return_dict=False,
        )
        return outputs[0]  # type: ignore[no-any-return]


class ControlNetModule(torch.nn.Module):
    """The U-Net's inputs and a hint (batch, 3, h, w) in 0..1 -> what it adds to the U-Net.

    That is a tensor for each skip connection and one for the middle block, for a weight of 1.
    """

    def __init__(self, controlnet: ControlNetModel) -> None:
        super().__init__()
        self.network = controlnet
        self.is_pooled = bool(controlnet.config["global_pool_conditions"])
        controlnet.register_to_config(global_pool_conditions=False)  # done here, in full size

    def forward(  # noqa: D102
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        controlnet_cond: torch.Tensor,
        text_embeds: torch.Tensor | None = None,
        time_ids: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        down, middle = self.network(
            sample,
            timestep,
            encoder_hidden_states,
            controlnet_cond,
            added_cond_kwargs={POOLED: text_embeds, PICTURE: time_ids},
            return_dict=False,
        )
        residuals = (*down, middle)
        if not self.is_pooled:
            return residuals
        return tuple(
            residual.mean(dim=(2, 3), keepdim=True).expand_as(residual) for residual in residuals
        )

    def prepare(self) -> None:
        """Replace attention and gated layers."""
        fuse_attention(self.network)
        split_gates(self.network)


def controlnet_network(checkpoint: ControlNetCheckpoint, downscale: int) -> ExportableNetwork:
    """Load a ControlNet, ready for export."""
    module = ControlNetModule(checkpoint.network())
    facts = {
        "residuals": len(checkpoint.levels),
        "downscale": downscale,
        # The names by which Optimum's dummy inputs find their widths.
        "text_encoder_projection_dim": checkpoint.pooled_width,
        "requires_aesthetics_score": False,
    }
    network = _exportable(CONTROLNET, module, facts=facts)
    pooling = {"global_pool_conditions": checkpoint.is_pooled}
    return replace(network, config={**network.config, **pooling})


class VaeDecoderModule(torch.nn.Module):
    """Latents (batch, 4, h/8, w/8) -> image (batch, 3, h, w) in about -1..1."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.network = vae

    def forward(self, latent_sample: torch.Tensor) -> torch.Tensor:  # noqa: D102
        return self.network.decode(latent_sample, return_dict=False)[0]  # type: ignore[no-any-return]

    def prepare(self) -> None:
        """Replace attention."""
        fuse_attention(self.network)


class VaeEncoderModule(torch.nn.Module):
    """Image (batch, 3, h, w) -> mean and log variance of its latents (batch, 8, h/8, w/8)."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.network = vae

    def forward(self, sample: torch.Tensor) -> torch.Tensor:  # noqa: D102
        distribution = self.network.encode(sample, return_dict=False)[0]
        return distribution.parameters  # type: ignore[no-any-return]

    def prepare(self) -> None:
        """Replace attention."""
        fuse_attention(self.network)


class TinyVaeDecoderModule(torch.nn.Module):
    """As `VaeDecoderModule`, from the same latents, which are rescaled for the tiny decoder."""

    def __init__(self, vae: AutoencoderTiny, scale: float) -> None:
        super().__init__()
        self.network = vae
        self.scale = scale / vae.config["scaling_factor"]

    def forward(self, latent_sample: torch.Tensor) -> torch.Tensor:  # noqa: D102
        scaled = latent_sample * self.scale
        return self.network.decode(scaled, return_dict=False)[0]  # type: ignore[no-any-return]

    def prepare(self) -> None:
        """Do nothing: it has convolutions only."""


def _exportable(
    name: str, module: Any, is_xl: bool = False, facts: Mapping[str, Any] | None = None
) -> ExportableNetwork:
    """Describe a network; `facts` complete its own configuration."""
    config = module.network.config
    published = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    known = exporter_config(
        name, SimpleNamespace(**{**published, **facts}) if facts else config, is_xl
    )
    published.pop("_name_or_path", None)  # a path on the exporter's machine
    return ExportableNetwork(
        name=name,
        module=module,
        prepare=module.prepare,
        config=published,
        # Odd sizes, so that tracing can neither confuse two axes nor fix a remainder.
        example=known.generate_dummy_inputs(
            framework="pt", batch_size=2, height=17, width=25, sequence_length=TOKENS
        ),
        input_axes=known.inputs,
        output_axes=known.outputs,
    )
