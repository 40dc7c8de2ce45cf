"""The peers: who they are, what each is measured with, and how a round of one is started."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sdrt.errors import UsageError
from sdrt.validation import hint
from sdrt_bench.bench.peers.environments import peer_environment, prepare, recipes
from sdrt_bench.bench.peers.weights import Layout, Weights
from sdrt_bench.bench.record import Params
from sdrt_bench.bench.round_protocol import Start

SAMPLERS = ("ddim", "euler")  # that every peer has
WORKERS = Path(__file__).parent / "workers"
Variant = tuple[str, Literal["default", "best"]]
"""Precision in the peer's words, and whether it is tuned."""


@dataclass(frozen=True)
class Peer:
    """One tool."""

    name: str
    backend: str
    environment: str
    worker: str
    layouts: Mapping[str, Layout]
    """The weights it gets, by precision."""
    variants: Sequence[Variant]
    """What it is measured with: as it comes, and as its documentation says."""


IR: Mapping[str, Layout] = {
    "auto": "openvino-fp32",
    "fp32": "openvino-fp32",
    "bf16": "openvino-fp16",
    "int8": "openvino-int8",
}
OPENVINO: Sequence[Variant] = (("auto", "default"), ("fp32", "best"), ("bf16", "best"))
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


def named(names: str) -> list[Peer]:
    """Peers of a list with commas, or "all"; NAME:PRECISION is one in that precision alone.

    Raises `UsageError` that lists those there are.
    """
    if names == "all":
        return list(PEERS.values())
    found: dict[str, Peer] = {}
    for part in dict.fromkeys(one.strip() for one in names.split(",")):
        name, _, precision = part.partition(":")
        if name not in PEERS:
            known = ", ".join(PEERS)
            raise UsageError(
                f"no peer is called {name!r}{hint(name, PEERS)}; expected some of {known}, or all"
            )
        peer = PEERS[name]
        chosen = [one for one in peer.variants if precision in ("", one[0])]
        if not chosen:
            known = ", ".join(dict.fromkeys(one for one, _ in peer.variants))
            raise UsageError(f"{name} has no precision {precision!r}; expected one of {known}")
        before = found[name].variants if name in found else ()
        found[name] = replace(peer, variants=(*before, *chosen))
    return list(found.values())


def cells(peers: Sequence[Peer], ours: Sequence[Params]) -> list[Params]:
    """Every variant of every peer for all that is asked of us; raises `UsageError` for samplers.

    Each request is made once, in whatever precision and on whatever engine we answer it.
    """
    requests: dict[Params, None] = {}
    for one in ours:
        if one.sampler not in SAMPLERS:
            raise UsageError(
                f"the peers cannot be compared with the sampler {one.sampler!r}; all know "
                f"{' and '.join(SAMPLERS)}: add --sampler {SAMPLERS[0]}"
            )
        requests[one.model_copy(update={"backend": "", "precision": ""})] = None
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
class PeerSource:
    """Starts rounds of peers; a `Source` of the runner."""

    weights: Weights
    cache: Path
    pip_options: Sequence[str] = ()

    def start(self, params: Params) -> Start:
        """Make what is missing of environment and weights, the first time for minutes."""
        peer = PEERS[params.tool]
        layout = peer.layouts.get(params.precision)
        if layout is None:
            raise UsageError(
                f"{peer.name} has no precision {params.precision!r}; expected one of "
                f"{', '.join(peer.layouts)}"
            )
        environment = prepare(recipes()[peer.environment], self.cache, self.pip_options)
        model = self.weights.layout(layout, environment)
        pinned = {"OMP_NUM_THREADS": str(params.threads), "PYTHONUNBUFFERED": "1"}
        return Start(
            argv=(str(environment.python), str(WORKERS / peer.worker)),
            env=peer_environment(environment, os.environ) | pinned,
            options={"model": str(model)},
        )
