"""Traces of networks that several tests export, each made once for all test processes.

Tracing takes most of an export, and the same network is exported in both precisions, as a part of
several models, and from several kinds of files.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx_ir as ir
import pytest
import torch

from sdrt_export import exporter
from sdrt_export.graphs import to_onnx
from sdrt_export.graphs.networks import ExportableNetwork

MadeOnce = Callable[[str, Callable[[Path], object]], Path]
GRAPH = "model.onnx"
PLAIN = (bool, int, float, str, type(None), tuple)
UNREAD = {"architectures", "dtype", "scaling_factor"}
"""Settings of a network that are for those who load it, or who scale latents before it runs.

The types of weights are part of the hash with the weights themselves.
"""


@contextmanager
def sharing_traces(made_once: MadeOnce) -> Iterator[None]:
    """Inside, exports take the trace of an equal network where a test has made it already.

    All else is done anew for each export, the comparison with torch included.
    """
    patch = pytest.MonkeyPatch()
    patch.setattr(exporter, "trace", lambda network: shared_trace(network, made_once))
    try:
        yield
    finally:
        patch.undo()


def shared_trace(network: ExportableNetwork, made_once: MadeOnce) -> ir.Model:
    """A trace of this network, or of one that equals it in every weight and setting."""

    def make(folder: Path) -> None:
        folder.mkdir()
        ir.save(to_onnx.trace(network), folder / GRAPH, external_data="weights")

    return ir.load(made_once(f"trace-{network.name}-{_digest(network)}", make) / GRAPH)


def _digest(network: ExportableNetwork) -> str:
    """A hash of all that a trace depends on."""
    settings = {
        key: value
        for key, value in network.config.items()
        if not key.startswith("_") and key not in UNREAD
    }
    facts: list[Any] = [sorted(settings.items()), network.input_axes, network.output_axes]
    for name, module in network.module.named_modules():
        plain = {key: value for key, value in vars(module).items() if isinstance(value, PLAIN)}
        facts.append((name, type(module).__qualname__, module.extra_repr(), sorted(plain.items())))
    # Of its inputs a trace takes the shapes; their numbers are drawn anew for each network.
    facts += [(name, tensor.dtype, tensor.shape) for name, tensor in network.example.items()]
    digest = hashlib.sha256(repr(facts).encode())
    for name, weight in network.module.state_dict().items():
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        digest.update(weight.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
