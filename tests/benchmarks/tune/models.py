"""A model made of Python functions, and records made of numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.pipeline import Pipeline
from sdrt.request.options import Options
from sdrt_bench.compare.run import KEPT
from sdrt_bench.prompts import Prompt
from sdrt_bench.tune.record import Identity, Result, TuneRecord
from sdrt_bench.tune.run import Task
from sdrt_bench.tune.search import Budget
from sdrt_bench.tune.setting import Setting
from sdrt_bench.tune.space import Space

SMALL: Options = {"width": 64, "height": 64}
PROMPTS = [Prompt("a boat"), Prompt("a cat on the grass")]
SPACE = Space(
    spacing="trailing",
    is_guided=True,
    tricks=frozenset(),
    samplers=("dpm++2m", "ddim"),
    schedulers=("default", "karras"),
    steps=(3, 4),
    plain_steps=(2, 3, 5),
    shipped=(Setting(sampler="dpm++2m", steps=4, scheduler="karras", sigma_min=0.1),),
)


def compute(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
    """All networks of the embedded model's shapes."""
    if name == "text_encoder":
        ids = feeds["input_ids"].astype(np.float32)
        return {"last_hidden_state": np.repeat(ids[:, :, None] / 600, 128, axis=2)}
    if name == "unet":
        level = feeds["encoder_hidden_states"].mean(axis=(1, 2))
        return {"out_sample": np.tanh(feeds["sample"]) + level[:, None, None, None]}
    picture = feeds["latent_sample"][:, :3].repeat(8, axis=2).repeat(8, axis=3)
    return {"sample": np.tanh(picture / 20)}


@dataclass
class Opened:
    """Opens pipelines on the fake engine and keeps them."""

    artifact: Artifact
    pipes: list[Pipeline] = field(default_factory=list)

    def open(self, precision: Any = "fp32") -> Pipeline:
        backend = FakeBackend(compute, precision=precision)
        self.pipes.append(Pipeline(self.artifact, backend, KEPT))
        return self.pipes[-1]


def task(artifact: Artifact, folder: Path, **changes: Any) -> Task:
    """A search on the fake engine."""
    opened = Opened(artifact)
    pipe = opened.open()
    given: dict[str, Any] = {
        "model": pipe,
        "timed": pipe,
        "open_reference": opened.open,
        "prompts": PROMPTS,
        "folder": folder,
        "seed": 5,
        "options": SMALL,
        **changes,
    }
    return Task(**given)


def ran(pipe: Pipeline) -> list[str]:
    """Networks that a pipeline's fake engine ran, in order."""
    networks: list[str] = pipe.backend.ran  # type: ignore[attr-defined]
    return networks


def endless() -> Budget:
    """A budget that no search of a test spends."""
    return Budget(3600.0)


def identity(**changes: Any) -> Identity:
    values: dict[str, Any] = {
        **{"version": "1", "model": "demo", "model_hash": "a" * 64, "backend": "fake"},
        **{"executed_precision": "fp32", "timed_model": "demo", "timed_model_hash": "a" * 64},
        **{"timed_precision": "fp32", "processor": "p", "cores": 2, "threads": 2},
        **{"width": 64, "height": 64, "guidance_scale": 4.0, "spacing": "trailing", "seed": 0},
        **{"prompts": ("a boat", "a cat"), "reference": "200 steps"},
    }
    return Identity(**{**values, **changes})


def result(setting: Setting, seconds: float, *psnr: float | None) -> Result:
    return Result(
        setting=setting, evaluations=setting.steps, predicted_s=seconds, psnr_db=tuple(psnr)
    )


def plain(steps: int, **tricks: Any) -> Setting:
    return Setting(sampler="dpm++2m", steps=steps, spacing="trailing", **tricks)


def record(results: Sequence[Result], **changes: Any) -> TuneRecord:
    return TuneRecord(identity=identity(**changes), results=tuple(results))
