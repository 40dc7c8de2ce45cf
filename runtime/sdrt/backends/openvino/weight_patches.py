"""Changes of a model's weights, in place, before OpenVINO compiles it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openvino as ov

from sdrt.backends.graph import Changes, Shapes
from sdrt.backends.weight_patches import (
    change_of,
    changed,
    check_named,
    is_table,
    layer_name,
    with_whole_layers,
)

LAYERS = ("MatMul", "Convolution")
TABLE = "Gather"


def layer_shapes(path: Path, model: ov.Model) -> Shapes:
    """Layers whose weights can be changed, by name, with shapes as `Changes` has them.

    Raises `ArtifactError` for a file that does not name them.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    nameless = []
    for constant, is_turned in _weights(model):
        layer = layer_name(constant.get_friendly_name())
        if layer is None:
            nameless.append(constant.get_friendly_name())
        else:
            shape = tuple(constant.get_output_shape(0))
            shapes[layer] = shape[::-1] if is_turned else shape
    check_named(path, nameless)
    return with_whole_layers(shapes)


def apply_changes(model: ov.Model, changes: Changes) -> None:
    """Put changed weights in the place of the file's; they keep their names and types."""
    if not changes:
        return
    for constant, is_turned in list(_weights(model)):
        name, kind = constant.get_friendly_name(), constant.get_element_type()
        layer = layer_name(name)
        change = change_of(changes, layer) if layer else None
        if layer is None or change is None:
            continue
        # OpenVINO shows bf16 as numpy's half precision, which it is not.
        stored = constant.data if kind == ov.Type.f32 else constant.data.view(np.uint16)
        array = changed(layer, stored, change, is_turned)
        # Copied: otherwise it would be the model that has to keep the array.
        tensor = ov.Tensor(array, ov.Shape(list(array.shape)), kind)
        made = ov.op.Constant(tensor, shared_memory=False)
        made.set_friendly_name(name)
        constant.output(0).replace(made.output(0))


def _weights(model: ov.Model) -> Iterator[tuple[ov.op.Constant, bool]]:
    """Constants in fp32 or bf16 that layers multiply with, and whether they are (in, out)."""
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
        if kind != TABLE or is_table(layer_name(source.get_friendly_name()) or ""):
            is_turned = kind == "MatMul" and not node.get_attributes()["transpose_b"]
            yield source, is_turned
