"""Multiply-adds of a U-Net in one step, counted from its graph."""

from math import prod

import openvino as ov

from sdrt.artifact import Artifact
from sdrt.backends.openvino.kernels import layer_macs
from sdrt.manifest import guidance_width
from sdrt_bench.bench.record import Params

CONVOLUTIONS = {
    "Convolution": 1,
    "GroupConvolution": 2,
}  # the axis of input channels in the weights


def step_macs(artifact: Artifact, params: Params) -> tuple[int, int]:
    """Count the multiply-adds of the U-Net in one step, and those of attention among them.

    All calls of a sampler that calls the U-Net more than once in a step are counted, though the
    last step of some has one call less.
    """
    from sdrt.sampling.samplers.registry import SAMPLERS

    model = ov.Core().read_model(artifact.network("unet", ("openvino", "onnx")).files[0])
    guides_itself = guidance_width(artifact.manifest.graphs["unet"]) > 0
    rows = params.batch * (2 if params.guidance and not guides_itself else 1)
    downscale = artifact.manifest.latent.downscale
    sizes = {
        "batch": rows,
        "tokens": artifact.manifest.text_encoders[0].length,
        "height": params.height // downscale,
        "width": params.width // downscale,
    }
    model.reshape(
        {
            tensor.name: ov.PartialShape(
                [sizes.get(d, 1) if isinstance(d, str) else d for d in tensor.shape]
            )
            for tensor in artifact.manifest.graphs["unet"].inputs
        }
    )
    total, attention = graph_macs(model)
    calls = SAMPLERS[params.sampler].calls
    return total * calls, attention * calls


def graph_macs(model: ov.Model) -> tuple[int, int]:
    """Count the multiply-adds of a graph of static shapes, and those of attention among them.

    Only attention multiplies two computed tensors; all other layers multiply with weights.
    """
    products, constants = layer_macs(model), set[str]()
    total = attention = 0
    for node in model.get_ordered_ops():
        name, kind = node.get_friendly_name(), node.get_type_name()
        sources = [source.get_node().get_friendly_name() for source in node.input_values()]
        if kind == "Constant" or (sources and all(source in constants for source in sources)):
            constants.add(name)
        elif kind in CONVOLUTIONS:
            weights = list(node.input_value(1).get_shape())
            total += prod(node.get_output_shape(0)) * prod(weights[CONVOLUTIONS[kind] :])
        elif name in products:
            total += products[name]
            if not any(source in constants for source in sources):
                attention += products[name]
    return total, attention
