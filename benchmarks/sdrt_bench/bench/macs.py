"""How much a U-Net computes in a step: its multiply-adds, counted from the graph."""

from math import prod

import openvino as ov

from sdrt.artifact import Artifact
from sdrt.backends.openvino.kernels import layer_macs
from sdrt.manifest import guidance_width
from sdrt_bench.bench.record import Params

CONVOLUTIONS = {"Convolution": 1, "GroupConvolution": 2}  # and where channels in begin in weights


def step_macs(artifact: Artifact, params: Params) -> tuple[int, int]:
    """Multiply-adds of all networks' runs in one step, and those of attention among them.

    A sampler that calls the U-Net more than once in a step is counted so; the last step of some
    has one call less.
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
    """Multiply-adds of a graph of known shapes, and those of products of two computed tensors.

    Only attention multiplies two of these; all other layers multiply with weights.
    """
    products, constants = layer_macs(model), set[str]()
    total = attention = 0
    for node in model.get_ordered_ops():
        name, kind = node.get_friendly_name(), node.get_type_name()
        sources = [one.get_node().get_friendly_name() for one in node.input_values()]
        if kind == "Constant" or (sources and all(one in constants for one in sources)):
            constants.add(name)
        elif kind in CONVOLUTIONS:
            weights = list(node.input_value(1).get_shape())
            total += prod(node.get_output_shape(0)) * prod(weights[CONVOLUTIONS[kind] :])
        elif name in products:
            total += products[name]
            if not any(one in constants for one in sources):
                attention += products[name]
    return total, attention
