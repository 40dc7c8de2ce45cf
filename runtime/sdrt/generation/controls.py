"""The ControlNets of a request, on the model that it is made with."""

from typing import Any

from sdrt.networks.controls import ActiveControl, Controls
from sdrt.networks.fp32_fallback import GuardedGraph
from sdrt.networks.open_model import OpenModel
from sdrt.networks.run_state import RunState
from sdrt.request.controls import ControlRequest
from sdrt.request.request import Request
from sdrt.text.conditioning import TextConditioning


def check_controls(model: OpenModel, request: Request) -> None:
    """Open the folders of a request's ControlNets; loads no weights.

    Raises `ArtifactError` for what is no ControlNet, and `UnsupportedError` for one that is not for
    the model.
    """
    control_names(model, request)


def control_names(model: OpenModel, request: Request) -> tuple[str, ...]:
    """Names of the ControlNets' networks, each once."""
    return tuple(model.networks.controlnets.of(request.controls))


def control_residuals(model: OpenModel, request: Request) -> tuple[str, ...]:
    """Names of what the U-Net takes of ControlNets; empty without any."""
    folders = model.networks.controlnets.of(request.controls).values()
    return next((folder.manifest.residuals for folder in folders), ())


def control_records(model: OpenModel, request: Request) -> list[dict[str, Any]]:
    """The controls as the parameters of a picture hold them."""
    known = model.networks.controlnets
    records = []
    for control in request.controls:
        folder = known[known.name_of(control.controlnet)]
        own = {"controlnet": folder.manifest.name, "controlnet_hash": folder.hash}
        records.append({**own, **control.record(request.width, request.height)})
    return records


def open_controls(
    model: OpenModel,
    request: Request,
    text: TextConditioning,
    steps: int,
    is_split: bool,
    state: RunState,
) -> Controls | None:
    """The ControlNets, ready for a pass of so many steps; None without any.

    Those that other runs left in memory, and this one does not use, are released. `is_split` says
    that the branches of guidance run one after the other.
    """
    _release_others(model, control_names(model, request))
    if not request.controls:
        return None
    active = [_open(model, request, each, text, is_split, state) for each in request.controls]
    return Controls(active, steps)


def _open(
    model: OpenModel,
    request: Request,
    control: ControlRequest,
    text: TextConditioning,
    is_split: bool,
    state: RunState,
) -> ActiveControl:
    known = model.networks.controlnets
    name = known.name_of(control.controlnet)
    manifest = known[name].manifest
    is_one_sided = request.guess_mode or manifest.is_pooled
    rows = len(request.seeds) * (1 if is_split or is_one_sided else request.branches)
    sizes = {
        "batch": rows,
        "tokens": text.states.shape[1],
        "height": request.height // manifest.downscale,
        "width": request.width // manifest.downscale,
        "image_height": request.height,
        "image_width": request.width,
    }
    shapes = {
        tensor.name: tuple(
            size if isinstance(size, int) else sizes.get(size, 1) for size in tensor.shape
        )
        for tensor in manifest.graph.inputs
    }
    graph = GuardedGraph(model.networks, name, shapes, state)
    hint = control.tensor(request.width, request.height)
    return ActiveControl(graph, manifest, control, hint, request.guess_mode)


def _release_others(model: OpenModel, names: tuple[str, ...]) -> None:
    known = model.networks.controlnets
    others = [name for name in model.networks.loaded if name in known and name not in names]
    if others:
        model.release(*others)
