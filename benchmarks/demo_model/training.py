"""What the three training scripts share: pictures, learning rate, averages, checkpoints."""

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

from sdrt.machine import has_bf16
from sdrt_bench.scenes.grammar import Scene, sample_scene
from sdrt_bench.scenes.render import render

CHUNK = 500  # pictures that one process draws at a time; part of what a seed means


def draw_pictures(count: int, seed: int) -> tuple[npt.NDArray[np.uint8], list[Scene]]:
    """Draw `count` pictures (a multiple of 500) with all cores: (count, 128, 128, 3)."""
    jobs = _jobs(count, seed)
    with Pool(os.cpu_count()) as pool:
        chunks = pool.starmap(_draw_chunk, jobs, chunksize=1)
    return np.concatenate([p for p, _ in chunks]), [s for _, scenes in chunks for s in scenes]


def scenes_of_pictures(count: int, seed: int) -> list[Scene]:
    """What `draw_pictures` with the same arguments draws, without drawing it."""
    return [scene for job in _jobs(count, seed) for scene in _sample_chunk(*job)[0]]


def _jobs(count: int, seed: int) -> list[tuple[int, int]]:
    return [(seed * 100_003 + i, CHUNK) for i in range(count // CHUNK)]


def _sample_chunk(seed: int, count: int) -> tuple[list[Scene], np.random.Generator]:
    rng = np.random.default_rng(seed)
    return [sample_scene(rng) for _ in range(count)], rng


def _draw_chunk(seed: int, count: int) -> tuple[npt.NDArray[np.uint8], list[Scene]]:
    scenes, rng = _sample_chunk(seed, count)
    return np.stack([render(scene, rng) for scene in scenes]), scenes


def cosine_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Linear warm-up to `peak`, then a cosine down to 2 % of it."""
    shape = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
    return peak * min(1.0, (step + 1) / warmup) * shape


def arithmetic() -> AbstractContextManager[object]:
    """Compute in bf16 where the processor does."""
    return torch.autocast("cpu", torch.bfloat16) if has_bf16() else nullcontext()


def start_from(module: torch.nn.Module, folder: Path | None) -> None:
    """Take the weights of an earlier training, if a folder of a network is given."""
    if folder is not None:
        module.load_state_dict(load_file(folder / "diffusion_pytorch_model.safetensors"))


class Average:
    """An exponential moving average of a module's weights, slower as training goes on."""

    def __init__(self, module: torch.nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.weights = [p.detach().clone() for p in module.parameters()]

    def update(self, step: int) -> None:
        """Move towards the present weights."""
        decay = min(self.decay, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(self.weights, list(self.module.parameters()), 1 - decay)

    def swap(self) -> None:
        """Exchange the average with the module's own weights; call twice to undo."""
        with torch.no_grad():
            for mine, theirs in zip(self.weights, self.module.parameters(), strict=True):
                kept = theirs.detach().clone()
                theirs.copy_(mine)
                mine.copy_(kept)


class Run:
    """A training run that can be stopped at any time and goes on from its last checkpoint."""

    def __init__(
        self,
        path: Path,
        module: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        steps: int,
        average_decay: float = 0.998,
    ) -> None:
        self.path, self.module, self.optimizer, self.steps = path, module, optimizer, steps
        self.average = Average(module, average_decay)
        self.step = 0
        self._started = time.perf_counter()
        self._losses: list[float] = []
        if path.exists():
            self._restore(torch.load(path, weights_only=True))

    def __iter__(self) -> Iterator[int]:
        """Yield step numbers; saves every 500 steps and at the end."""
        first = self.step
        for step in range(first, self.steps):
            yield step
            self.step = step + 1
            self.average.update(step)
            if self.step % 500 == 0 or self.step == self.steps:
                self._save()

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of every group of weights."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def descend(self, loss: torch.Tensor) -> None:
        """Take one optimizer step down `loss`, gradients clipped to norm 1."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimizer.step()
        self._losses.append(float(loss.detach()))

    def report(self, every: int, extra: str = "") -> None:
        """Print the mean loss of the last `every` steps, once per `every` steps."""
        if len(self._losses) >= every:
            seconds = time.perf_counter() - self._started
            mean = float(np.mean(self._losses))
            print(f"{seconds:7.0f} s  step {self.step:6d}  loss {mean:.5f}  {extra}", flush=True)
            self._losses.clear()

    def _save(self) -> None:
        state = {
            "step": self.step,
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.weights,
            "random": torch.get_rng_state(),
        }
        partial = self.path.with_suffix(".partial")
        torch.save(state, partial)
        partial.rename(self.path)

    def _restore(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.weights = state["average"]
        torch.set_rng_state(state["random"])
        print(f"going on from step {self.step}", flush=True)


def as_input(pictures: npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8]]) -> torch.Tensor:
    """Pictures as the networks see them: (n, 3, h, w) float32 in -1..1."""
    pixels = torch.from_numpy(np.asarray(pictures))
    return pixels.permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()
