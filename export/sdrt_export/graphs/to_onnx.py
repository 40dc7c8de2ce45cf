"""Module -> ONNX, in one trace with free batch, height and width."""

import ast
import io
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import onnx_ir as ir
import torch

from sdrt.errors import SdrtError
from sdrt.manifest import Precision
from sdrt_export.graphs.networks import Axes, ExportableNetwork
from sdrt_export.graphs.onnx_storage import GRAPH_FILE, WEIGHTS_FILE, store_bf16

# The first operator set with Attention as one node; GroupNormalization and Gelu are older.
OPSET = 23


def trace(network: ExportableNetwork) -> ir.Model:
    """Trace a network with torch.export, after which the module cannot run any more."""
    network.prepare()
    dynamic = torch.export.Dim.DYNAMIC
    shapes = {name: {axis: dynamic for axis in axes} for name, axes in network.input_axes.items()}
    with _quiet():
        program = torch.onnx.export(
            network.module.eval(),
            kwargs=network.example,
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=shapes,
            input_names=list(network.input_axes),
            output_names=list(network.output_axes),
            optimize=False,
            verbose=False,
        )
        if program is None:
            raise SdrtError(f"torch traced nothing of {network.name}")
        traced = list(program.model.graph.initializers.values())
        program.optimize()
    _let_go(set(traced).difference(program.model.graph.initializers.values()))
    _tidy(program.model, network)
    return program.model


def write_onnx(model: ir.Model, folder: Path, precision: Precision) -> list[Path]:
    """Write `model.onnx` and its weights, then empty the model; returns the files, graph first."""
    weights = set(model.graph.initializers.values())
    if precision == "bf16":
        store_bf16(model)
    ir.save(model, folder / GRAPH_FILE, external_data=WEIGHTS_FILE)
    _let_go(weights.union(model.graph.initializers.values()))
    return [folder / GRAPH_FILE, folder / WEIGHTS_FILE]


def _let_go(weights: Iterable[ir.Value]) -> None:
    """Drop the weights of values that nobody reads any more.

    The tracer's rewrite rules live as long as the process and keep the last graph that they saw,
    with every value that ever was an input of it: 3.4 GB for the U-Net of Stable Diffusion 1.5.
    """
    for value in weights:
        value.const_value = None


def _tidy(model: ir.Model, network: ExportableNetwork) -> None:
    """Name the free axes, and drop the tracer's metadata, which outweigh the graph."""
    graph = model.graph
    graph.name = network.name
    model.producer_name, model.producer_version = "sdrt", ""
    model.metadata_props.clear()
    _name_linears(graph)
    for value, axes in [
        *((value, network.input_axes) for value in graph.inputs),
        *((value, network.output_axes) for value in graph.outputs),
    ]:
        value.metadata_props.clear()
        _name_axes(value, axes)
    for node in graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for output in node.outputs:
            output.metadata_props.clear()
            if not output.is_graph_output():
                output.shape = None  # it uses the tracer's names for sizes; engines infer their own


def _name_linears(graph: ir.Graph) -> None:
    """Restore the names of linear layers' weights, which they lost in being transposed."""
    for node in graph:
        weight = node.inputs[1] if node.op_type == "MatMul" else None
        if weight is None or not weight.is_initializer():
            continue
        scopes = ast.literal_eval(node.metadata_props["pkg.torch.onnx.name_scopes"])
        name = f"{scopes[-2]}.weight"  # the last is the operation
        if name not in graph.initializers and len(weight.uses()) == 1:
            weight.name = name


def _name_axes(value: ir.Value, axes: Axes) -> None:
    assert value.shape is not None
    names = axes[str(value.name)]
    value.shape = ir.Shape([names.get(i, size) for i, size in enumerate(value.shape)])


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the tracer's progress and its warnings about packages that sdrt does not use."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            with redirect_stderr(io.StringIO()):
                yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
