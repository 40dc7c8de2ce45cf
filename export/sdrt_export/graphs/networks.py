"""The networks as plain functions of tensors, in the form that exports to fast graphs.

Three things are changed before tracing; none changes a result (`verify` proves it):

Attention becomes one `MultiHeadAttention` node of ONNX Runtime's operator set, which both engines
know. It takes queries, keys and values as they leave the linear layers, so no transposes are left,
and ONNX Runtime never holds the matrix of all attention weights (for 4096 tokens 1 GB).

The gated layers between attentions become two, for values and for gates, which diffusers makes in
one and then cuts apart: engines copy the halves, the largest tensors of a U-Net, and can make the
GELU a part of a layer only where it has a layer of its own.

Upsampling in the U-Net doubles and then cuts to the size of the skip connection, so that one graph
serves every size that is a multiple of 8 pixels; as diffusers writes it, tracing would fix whether
the size is a multiple of 64.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from diffusers.models.activations import GEGLU
from diffusers.models.attention_processor import Attention
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from sdrt.artifact.diffusers_config import is_xl
from sdrt.backends.weight_patches import HALVES
from sdrt.manifest import POOLED, TINY_DECODER
from sdrt_export.graphs.optimum_configs import exporter_config
from sdrt_export.sources.checkpoint import Checkpoint
from sdrt_export.sources.lora import merged
from sdrt_export.sources.tiny_vae import open_tiny_vae

TOKENS = 77  # of one chunk; CLIP's positions

Tensors = dict[str, torch.Tensor]
Axes = dict[str, dict[int, str]]


@dataclass(frozen=True)
class ExportableNetwork:
    """A module with named inputs, and which of their axes are free."""

    name: str
    module: torch.nn.Module
    """The network as torch runs it: the reference."""
    prepare: Callable[[], None]
    """Changes the module into the form to trace; afterwards torch cannot run it."""
    config: dict[str, Any]
    """What its `config.json` says."""
    example: Tensors
    input_axes: Axes
    output_axes: Axes


def networks(checkpoint: Checkpoint) -> Iterator[ExportableNetwork]:
    """Load and yield one network after the other, each with modules of its own."""
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
    """Those of SDXL that are not as in other Stable Diffusions."""
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
        """Nothing to change: the engines fuse its small attention by themselves."""


class XlTextEncoderModule(torch.nn.Module):
    """Token ids (batch, 77) -> the outputs of a text encoder of SDXL, as Optimum orders them.

    The second encoder's projected embedding of the whole text (batch, width) comes first. Then the
    last state, for the first encoder its pooled one, and the states that enter each layer and leave
    the last, all (batch, 77, width), without the norm: what SDXL takes is the last but one of them.
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
        """Take the embedding of a whole text where its first `end` is.

        Older configurations say 2 of every text encoder, for which transformers takes the largest
        id: the same place, until words are added to the vocabulary.
        """
        self.network.config.eos_token_id = end
        getattr(self.network, "text_model", self.network).eos_token_id = end

    def prepare(self) -> None:
        """Nothing to change: the engines fuse its small attention by themselves."""


class UNetModule(torch.nn.Module):
    """Latents, timestep, embeddings -> prediction of the latents' shape.

    Models with guidance inside take its strength too, as an embedding (batch, width).
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
        _fuse_attention(self.network)
        _split_gates(self.network)
        for block in self.network.up_blocks:
            if block.upsamplers:
                block.upsamplers[0] = UpsampleToSkip(block.upsamplers[0].conv)
        # The U-Net passes the skip's size on only if the latents are no multiple of this power of
        # two. None is a multiple of 2^40, so it always does.
        self.network.num_upsamplers = 40


class XlUNetModule(UNetModule):
    """As `UNetModule`, with an embedding of the whole text and numbers about the picture."""

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


class VaeDecoderModule(torch.nn.Module):
    """Latents (batch, 4, h/8, w/8) -> picture (batch, 3, h, w) in about -1..1."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.network = vae

    def forward(self, latent_sample: torch.Tensor) -> torch.Tensor:  # noqa: D102
        return self.network.decode(latent_sample, return_dict=False)[0]  # type: ignore[no-any-return]

    def prepare(self) -> None:
        """Replace attention."""
        _fuse_attention(self.network)


class VaeEncoderModule(torch.nn.Module):
    """Picture -> mean and log variance of its latents, as channels."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.network = vae

    def forward(self, sample: torch.Tensor) -> torch.Tensor:  # noqa: D102
        distribution = self.network.encode(sample, return_dict=False)[0]
        return distribution.parameters  # type: ignore[no-any-return]

    def prepare(self) -> None:
        """Replace attention."""
        _fuse_attention(self.network)


class TinyVaeDecoderModule(torch.nn.Module):
    """As `VaeDecoderModule`, from the same latents: what the tiny one takes is scaled otherwise."""

    def __init__(self, vae: AutoencoderTiny, scale: float) -> None:
        super().__init__()
        self.network = vae
        self.scale = scale / vae.config["scaling_factor"]

    def forward(self, latent_sample: torch.Tensor) -> torch.Tensor:  # noqa: D102
        scaled = latent_sample * self.scale
        return self.network.decode(scaled, return_dict=False)[0]  # type: ignore[no-any-return]

    def prepare(self) -> None:
        """Nothing to change: it has convolutions only."""


class UpsampleToSkip(torch.nn.Module):
    """Nearest-neighbour doubling, cut to the size of the skip connection, and the convolution.

    Equal to torch's nearest interpolation to that size, which is twice the input's or one less.
    The cut is a node of its own whose size is told: the tracer would carry "the smaller of the two"
    through the rest of the network, level in level, and take a quarter longer.
    """

    def __init__(self, conv: torch.nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: torch.Tensor, output_size: tuple[int, int]) -> torch.Tensor:  # noqa: D102
        doubled = F.interpolate(x, scale_factor=2.0, mode="nearest")
        ends = torch.stack([torch.scalar_tensor(n, dtype=torch.int64) for n in output_size])
        cut = torch.onnx.ops.symbolic(
            "Slice",
            (doubled, torch.zeros_like(ends), ends, torch.tensor([2, 3])),
            dtype=x.dtype,
            shape=(*x.shape[:2], *output_size),
        )
        return self.conv(cut)  # type: ignore[no-any-return]


class SplitGeglu(torch.nn.Module):
    """values * GELU(gates) of two linear layers (Shazeer 2020, arXiv 2002.05202, eq. 5).

    `sdrt.backends.weight_patches` knows them as the one layer that they are of.
    """

    def __init__(self, whole: torch.nn.Linear) -> None:
        super().__init__()
        self.proj = torch.nn.ModuleDict({half: _rows_of(whole, i) for i, half in enumerate(HALVES)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # noqa: D102
        value, gate = (self.proj[half](x) for half in HALVES)
        return value * F.gelu(gate)  # type: ignore[no-any-return]


class FusedAttention:
    """diffusers' attention with one node for everything between the linear layers."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Self-attention, or cross-attention to `encoder_hidden_states`."""
        residual, shape = hidden_states, hidden_states.shape
        if len(shape) == 4:  # the autoencoder attends over pixels
            hidden_states = hidden_states.flatten(2).transpose(1, 2)
        if attn.group_norm is not None:
            hidden_states = attn.group_norm(hidden_states.transpose(1, 2)).transpose(1, 2)
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.to_q(hidden_states)
        attended = torch.onnx.ops.symbolic(
            "com.microsoft::MultiHeadAttention",
            (query, attn.to_k(context), attn.to_v(context)),
            {"num_heads": attn.heads, "scale": float(attn.scale)},
            dtype=query.dtype,
            shape=query.shape,
            version=1,
        )
        output = attn.to_out[0](attended)
        if len(shape) == 4:
            output = output.transpose(1, 2).reshape(shape)
        if attn.residual_connection:
            output = output + residual
        return output / attn.rescale_output_factor  # type: ignore[no-any-return]


def _fuse_attention(network: UNet2DConditionModel | AutoencoderKL) -> None:
    network.set_attn_processor(FusedAttention())


def _split_gates(network: UNet2DConditionModel) -> None:
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, GEGLU):
                setattr(module, name, SplitGeglu(child.proj))


def _rows_of(whole: torch.nn.Linear, half: int) -> torch.nn.Linear:
    """Half of a layer; its weights are the layer's, not a copy."""
    layer = torch.nn.Linear(1, 1, device="meta")
    layer.weight, layer.bias = (
        torch.nn.Parameter(both.detach().chunk(len(HALVES))[half], requires_grad=False)
        for both in (whole.weight, whole.bias)
    )
    return layer


def _exportable(
    name: str, module: Any, is_xl: bool = False, facts: Mapping[str, Any] | None = None
) -> ExportableNetwork:
    """Describe a network; `facts` are what its own configuration does not say."""
    config = module.network.config
    published = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    known = exporter_config(
        name, SimpleNamespace(**{**published, **facts}) if facts else config, is_xl
    )
    published.pop("_name_or_path", None)  # where it lay on the exporter's machine
    return ExportableNetwork(
        name=name,
        module=module,
        prepare=module.prepare,
        config=published,
        # Odd sizes, so that tracing cannot take two axes for the same or fix a remainder.
        example=known.generate_dummy_inputs(
            framework="pt", batch_size=2, height=17, width=25, sequence_length=TOKENS
        ),
        input_axes=known.inputs,
        output_axes=known.outputs,
    )
