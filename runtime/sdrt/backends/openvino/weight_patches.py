"""Patches of a model's weights, applied in place before OpenVINO compiles it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openvino as ov

from sdrt.backends.graph import Shapes, WeightPatches
from sdrt.backends.weight_patches import (
    check_layer_names,
    is_token_table,
    layer_name,
    patch_of,
    patched,
    with_joined_halves,
)

LAYERS = ("MatMul", "Convolution")
TABLE = "Gather"


def layer_shapes(path: Path, model: ov.Model) -> Shapes:
    """Layers whose weights can be changed, by name, with shapes as `WeightPatches` has them.

    Raises `ArtifactError` for a file that does not name them.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    unnamed = []
    for constant, is_transposed in _weights(model):
        layer = layer_name(constant.get_friendly_name())
        if layer is None:
            unnamed.append(constant.get_friendly_name())
        else:
            shape = tuple(constant.get_output_shape(0))
            shapes[layer] = shape[::-1] if is_transposed else shape
    check_layer_names(path, unnamed)
    return with_joined_halves(shapes)


def apply_patches(model: ov.Model, patches: WeightPatches) -> None:
    """Put patched weights in place of the file's; they keep their names and types."""
    if not patches:
        return
    for constant, is_transposed in list(_weights(model)):
        name, kind = constant.get_friendly_name(), constant.get_element_type()
        layer = layer_name(name)
        patch = patch_of(patches, layer) if layer else None
        if layer is None or patch is None:
            continue
        # OpenVINO shows bf16 as numpy's half precision, which it is not.
        stored = constant.data if kind == ov.Type.f32 else constant.data.view(np.uint16)
        array = patched(layer, stored, patch, is_transposed)
        # Copied, because the array is gone before the model is compiled.
        tensor = ov.Tensor(array, ov.Shape(list(array.shape)), kind)
        replacement = ov.op.Constant(tensor, shared_memory=False)
        replacement.set_friendly_name(name)
        constant.output(0).replace(replacement.output(0))


def _weights(model: ov.Model) -> Iterator[tuple[ov.op.Constant, bool]]:
    """Weights of layers in fp32 or bf16, and whether they are stored as (in, out)."""
    for node in model.get_ops():
        kind = node.get_type_name()
        if kind not in (*LAYERS, TABLE):
            continue
        source = node.input_value(0 if kind == TABLE else 1).get_node()
        if source.get_type_name() == "Convert":
            source = source.input_value(0).get_node()
        is_weight = source.get_type_name() == "Constant"
        if not is_weight or source.get_element_type() not in (ov.Type.f32, ov.Type.bf16):
            continue
        if kind != TABLE or is_token_table(layer_name(source.get_friendly_name()) or ""):
            is_transposed = kind == "MatMul" and not node.get_attributes()["transpose_b"]
            yield source, is_transposed
