"""One image by sdrt and one by another tool: same folder, prompt, noise, sampler and steps."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import sdrt
from sdrt.artifact import Artifact
from sdrt.manifest import Format, Precision
from sdrt.sampling.noise import Noise
from sdrt_bench.bench.peers.catalogue import WORKERS
from sdrt_bench.bench.peers.environments import Environment, peer_environment
from sdrt_bench.similarity import Pixels

ENGINES: dict[Format, str] = {"onnx": "onnxruntime", "openvino": "openvino"}
PROMPT = "a red boat on the sea at sunset"
SEED, STEPS, SAMPLER, SHOWN_ERROR = 7, 8, "ddim", 300
OPTIMUM, GENAI = "same_noise_optimum.py", "same_noise_genai.py"


@dataclass(frozen=True)
class ImageRequest:
    """What a tool shall paint from."""

    folder: Path
    format: Format
    precision: Precision
    """The arithmetic has this precision; OpenVINO rounds the float layers of int8 to bf16."""
    threads: int


@dataclass(frozen=True)
class PaintResult:
    """An image, or why there is none."""

    picture: Pixels | None
    error: str = ""


def paint_with_sdrt(request: ImageRequest) -> tuple[Pixels, Artifact]:
    """Paint with sdrt, on the engine of the folder's format."""
    pipe = sdrt.load(
        request.folder, ENGINES[request.format], None, request.threads, request.precision
    )
    result = pipe(PROMPT, seed=SEED, num_inference_steps=STEPS, sampler=SAMPLER)
    return np.asarray(result.images[0]), pipe.artifact


def paint_with_tool(
    requests: Sequence[tuple[ImageRequest, Artifact]],
    worker: str,
    environment: Environment,
    work: Path,
) -> list[PaintResult]:
    """Paint with another tool, in a process of its environment; `work` is an empty folder.

    Where the process ends in the middle of a picture, another one goes on with the next.
    """
    specs = [_spec(work / str(i), *request) for i, request in enumerate(requests)]
    painted: list[PaintResult] = []
    while left := specs[len(painted) :]:
        message = _serve(left, worker, environment)
        done = [spec for spec in left if Path(spec["result"]).exists()]
        painted += [_read(Path(spec["result"])) for spec in done]
        if len(done) < len(left):
            painted.append(PaintResult(None, message))
    return painted


def _serve(specs: Sequence[Mapping[str, Any]], worker: str, environment: Environment) -> str:
    """Run the process to its end; gives the last of its output."""
    done = subprocess.run(
        [str(environment.python), str(WORKERS / worker)],
        input=json.dumps(specs),
        capture_output=True,
        text=True,
        env=peer_environment(environment, os.environ),
    )
    return f"ended with {done.returncode}: {' '.join(done.stderr.split())[-SHOWN_ERROR:]}"


def _spec(folder: Path, request: ImageRequest, artifact: Artifact) -> dict[str, Any]:
    """Make a specification as in `sdrt_bench.bench.round_protocol`."""
    folder.mkdir()
    noise, defaults = folder / "noise.npy", artifact.manifest.defaults
    np.save(noise, _noise(artifact))
    params = {
        "prompt": PROMPT,
        "seed": SEED,
        "steps": STEPS,
        "sampler": SAMPLER,
        "width": defaults.width,
        "height": defaults.height,
        "guidance": True,
        "guidance_scale": defaults.guidance_scale,
        "threads": request.threads,
        "format": request.format,
        "precision": request.precision,
        "noise": str(noise),
        "settings": "default",
    }
    return {
        "params": params,
        "measure": STEPS,
        "folder": str(folder),
        "result": str(folder / "result.json"),
        "options": {"model": str(request.folder)},
    }


def _read(result: Path) -> PaintResult:
    outcome: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    if "error" in outcome:
        return PaintResult(None, outcome["error"])
    with Image.open(outcome["picture"]) as image:
        return PaintResult(np.asarray(image.convert("RGB")))


def _noise(artifact: Artifact) -> Any:
    latent, defaults = artifact.manifest.latent, artifact.manifest.defaults
    height, width = (side // latent.downscale for side in (defaults.height, defaults.width))
    return Noise([SEED]).draw((latent.channels, height, width))
