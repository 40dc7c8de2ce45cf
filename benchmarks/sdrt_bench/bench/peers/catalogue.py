"""The peers: their names, precisions and settings, and the commands that run their rounds."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sdrt.errors import UsageError
from sdrt.validation import hint
from sdrt_bench.bench.peers.environments import environment_specs, peer_environment, prepare
from sdrt_bench.bench.peers.weights import Layout, Weights
from sdrt_bench.bench.record import Params
from sdrt_bench.bench.round_protocol import RoundCommand

SAMPLERS = ("ddim", "euler")  # every peer has these
WORKERS = Path(__file__).parent / "workers"
PeerVariant = tuple[str, Literal["default", "best"]]
"""The precision by the peer's name for it, and whether its settings are tuned."""


@dataclass(frozen=True)
class Peer:
    """One tool that runs Stable Diffusion."""

    name: str
    backend: str
    environment: str
    worker: str
    layouts: Mapping[str, Layout]
    """For each precision it reads the weights in this layout."""
    variants: Sequence[PeerVariant]
    """It is measured with its default settings, and with the best that its documentation names."""


IR: Mapping[str, Layout] = {
    "auto": "openvino-fp32",
    "fp32": "openvino-fp32",
    "bf16": "openvino-fp16",
    "int8": "openvino-int8",
}
OPENVINO: Sequence[PeerVariant] = (("auto", "default"), ("fp32", "best"), ("bf16", "best"))
PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "diffusers",
            "torch",
            "diffusers",
            "run_diffusers.py",
            {"fp32": "diffusers", "bf16": "diffusers"},
            (("fp32", "default"), ("bf16", "default"), ("bf16", "best")),
        ),
        Peer(
            "optimum-intel",
            "openvino",
            "openvino",
            "run_optimum_intel.py",
            IR,
            (*OPENVINO, ("int8", "best")),
        ),
        Peer(
            "openvino-genai",
            "openvino",
            "openvino",
            "run_openvino_genai.py",
            IR,
            (*OPENVINO, ("int8", "best")),
        ),
        Peer(
            "stable-diffusion.cpp",
            "ggml",
            "ggml",
            "run_stable_diffusion_cpp.py",
            {"fp32": "ldm", "f16": "ldm", "q8_0": "ldm", "auto": "ldm"},
            (("f16", "default"), ("f16", "best"), ("q8_0", "best")),
        ),
        Peer(
            "optimum-onnx",
            "onnxruntime",
            "onnx",
            "run_optimum_onnx.py",
            {"fp32": "onnx"},
            (("fp32", "default"), ("fp32", "best")),
        ),
    )
}


def choose_peers(names: str) -> list[Peer]:
    """Read a list of peers with commas, or "all"; NAME:PRECISION is one in that precision alone.

    Raises `UsageError` that lists the known ones.
    """
    if names == "all":
        return list(PEERS.values())
    peers: dict[str, Peer] = {}
    for part in dict.fromkeys(part.strip() for part in names.split(",")):
        name, _, precision = part.partition(":")
        if name not in PEERS:
            raise UsageError(
                f"no peer is called {name!r}{hint(name, PEERS)}; expected some of "
                f"{', '.join(PEERS)}, or all"
            )
        peer = PEERS[name]
        chosen = [variant for variant in peer.variants if precision in ("", variant[0])]
        if not chosen:
            precisions = ", ".join(dict.fromkeys(variant[0] for variant in peer.variants))
            raise UsageError(f"{name} has no precision {precision!r}; expected one of {precisions}")
        before = peers[name].variants if name in peers else ()
        peers[name] = replace(peer, variants=(*before, *chosen))
    return list(peers.values())


def cells(peers: Sequence[Peer], ours: Sequence[Params]) -> list[Params]:
    """Give a cell for every variant of every peer and each request to sdrt.

    Requests that differ only in engine or precision are one. Raises `UsageError` for samplers that
    the peers lack.
    """
    requests: dict[Params, None] = {}
    for request in ours:
        if request.sampler not in SAMPLERS:
            raise UsageError(
                f"the peers cannot be compared with the sampler {request.sampler!r}; all know "
                f"{' and '.join(SAMPLERS)}: add --sampler {SAMPLERS[0]}"
            )
        requests[request.model_copy(update={"backend": "", "precision": ""})] = None
    return [
        request.model_copy(
            update={
                "tool": peer.name,
                "backend": peer.backend,
                "precision": precision,
                "settings": settings,
            }
        )
        for request in requests
        for peer in peers
        for precision, settings in peer.variants
    ]


@dataclass(frozen=True)
class PeerRunner:
    """Runs cells of peers."""

    weights: Weights
    cache: Path
    pip_options: Sequence[str] = ()

    def command(self, params: Params) -> RoundCommand:
        """Give the command; makes missing environments and weights, which takes minutes."""
        peer = PEERS[params.tool]
        layout = peer.layouts.get(params.precision)
        if layout is None:
            raise UsageError(
                f"{peer.name} has no precision {params.precision!r}; expected one of "
                f"{', '.join(peer.layouts)}"
            )
        environment = prepare(environment_specs()[peer.environment], self.cache, self.pip_options)
        model = self.weights.layout(layout, environment)
        pinned = {"OMP_NUM_THREADS": str(params.threads), "PYTHONUNBUFFERED": "1"}
        return RoundCommand(
            argv=(str(environment.python), str(WORKERS / peer.worker)),
            env=peer_environment(environment, os.environ) | pinned,
            options={"model": str(model)},
        )
