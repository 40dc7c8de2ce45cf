"""One picture by sdrt and one by another tool: same folder, prompt, noise, sampler and steps."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import sdrt
from sdrt.artifact import Artifact
from sdrt.manifest import Format, Precision
from sdrt.noise import Noise
from sdrt_bench.bench.peers.environments import Environment, peer_environment
from sdrt_bench.bench.peers.peers import WORKERS
from sdrt_bench.similarity import Pixels

ENGINES: dict[Format, str] = {"onnx": "onnxruntime", "openvino": "openvino"}
PROMPT = "a red boat on the sea at sunset"
SEED, STEPS, SAMPLER, SHOWN_ERROR = 7, 8, "ddim", 300
OPTIMUM, GENAI = "same_noise_optimum.py", "same_noise_genai.py"


@dataclass(frozen=True)
class Wish:
    """What both are asked for."""

    folder: Path
    format: Format
    precision: Precision
    """Of the arithmetic; OpenVINO rounds what an int8 model leaves in float to bf16."""
    threads: int


@dataclass(frozen=True)
class Painted:
    """A picture, or why there is none."""

    picture: Pixels | None
    error: str = ""


def paint_ours(wish: Wish) -> tuple[Pixels, Artifact]:
    """With sdrt, on the engine of the folder's format."""
    pipe = sdrt.load(wish.folder, ENGINES[wish.format], None, wish.threads, wish.precision)
    result = pipe(PROMPT, seed=SEED, num_inference_steps=STEPS, sampler=SAMPLER)
    return np.asarray(result.images[0]), pipe.artifact


def paint_theirs(
    wish: Wish, artifact: Artifact, worker: str, environment: Environment, work: Path
) -> Painted:
    """With another tool, in a process of its own environment; `work` is an empty folder."""
    noise, result = work / "noise.npy", work / "result.json"
    np.save(noise, _noise(artifact))
    defaults = artifact.manifest.defaults
    params = {
        "prompt": PROMPT,
        "seed": SEED,
        "steps": STEPS,
        "sampler": SAMPLER,
        "width": defaults.width,
        "height": defaults.height,
        "guidance": True,
        "guidance_scale": defaults.guidance_scale,
        "threads": wish.threads,
        "format": wish.format,
        "precision": wish.precision,
        "noise": str(noise),
        "settings": "default",
    }
    spec = {
        "params": params,
        "measure": STEPS,
        "folder": str(work),
        "result": str(result),
        "options": {"model": str(wish.folder)},
    }
    done = subprocess.run(
        [str(environment.python), str(WORKERS / worker)],
        input=json.dumps(spec),
        capture_output=True,
        text=True,
        env=peer_environment(environment, os.environ),
    )
    if not result.exists():
        return Painted(None, f"ended with {done.returncode}: {done.stderr[-SHOWN_ERROR:].strip()}")
    outcome: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    if "error" in outcome:
        return Painted(None, outcome["error"])
    with Image.open(outcome["picture"]) as image:
        return Painted(np.asarray(image.convert("RGB")))


def _noise(artifact: Artifact) -> Any:
    latent, defaults = artifact.manifest.latent, artifact.manifest.defaults
    height, width = (side // latent.downscale for side in (defaults.height, defaults.width))
    return Noise([SEED]).draw((latent.channels, height, width))
