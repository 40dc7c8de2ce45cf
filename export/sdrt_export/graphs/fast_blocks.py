"""Blocks that replace those of diffusers before tracing, so that graphs run fast on both engines.

None changes a result (`parity` proves it):

Attention becomes one `MultiHeadAttention` node of ONNX Runtime's operator set, which both engines
know. It takes queries, keys and values as they leave the linear layers, so no transposes are left,
and ONNX Runtime never holds the matrix of all attention weights (for 4096 tokens 1 GB).

The gated layers between attentions become two, for values and for gates, which diffusers computes
in one and then cuts apart: engines copy the halves, the largest tensors of a U-Net, and can fuse
the GELU only into a layer of its own.

Upsampling in the U-Net doubles and then cuts to the size of the skip connection, so that one graph
serves every size that is a multiple of 8 pixels; as diffusers writes it, tracing would fix whether
the size is a multiple of 64.
"""

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.activations import GEGLU
from diffusers.models.attention_processor import Attention

from sdrt.backends.weight_patches import HALVES


class UpsampleToSkip(torch.nn.Module):
    """Nearest-neighbour doubling, cut to the size of the skip connection, and the convolution.

    Equal to torch's nearest interpolation to that size, which is twice the input's or one less.
    The cut is a node of its own with an explicit size: otherwise the tracer would carry "the
    smaller of the two" through the rest of the network, level by level, and take a quarter longer.
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

    `sdrt.backends.weight_patches` treats them as the one layer that they come from.
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


def fuse_attention(network: UNet2DConditionModel | AutoencoderKL) -> None:
    """Give every attention of a network one node of its own."""
    network.set_attn_processor(FusedAttention())


def split_gates(network: UNet2DConditionModel) -> None:
    """Split every gated layer of a U-Net."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, GEGLU):
                setattr(module, name, SplitGeglu(child.proj))


def _rows_of(whole: torch.nn.Linear, half: int) -> torch.nn.Linear:
    """Half of a layer, which shares the layer's weights."""
    layer = torch.nn.Linear(1, 1, device="meta")
    layer.weight, layer.bias = (
        torch.nn.Parameter(both.detach().chunk(len(HALVES))[half], requires_grad=False)
        for both in (whole.weight, whole.bias)
    )
    return layer
