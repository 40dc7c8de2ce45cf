"""Paints the prompts of a search: the converged pictures first, then those of each setting."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sdrt.images.png import save_png
from sdrt.pipeline import Pipeline
from sdrt.request.options import Options
from sdrt_bench.compare.run import Watch
from sdrt_bench.prompts import Prompt
from sdrt_bench.similarity import Pixels, psnr_db
from sdrt_bench.tune.record import make_folder
from sdrt_bench.tune.setting import PLAIN, Setting

REFERENCE_STEPS = 200
REFERENCES = "references"


@dataclass(frozen=True)
class Painter:
    """The prompts of a search, and how each is painted; prompt i has the seed `seed + i`."""

    model: Pipeline
    prompts: Sequence[Prompt]
    seed: int
    options: Options
    """Size and guidance, which are the same for all settings."""
    watch: Watch

    def paint(self, setting: Setting, index: int) -> Image.Image:
        """Paint one prompt."""
        return paint(self.model, self, setting, index)


def paint(model: Pipeline, task: Painter, setting: Setting, index: int) -> Image.Image:
    """Paint one prompt of a task on a model, alone, so that it is the same in every search."""
    options: Options = {**task.options, **setting.options, "seed": task.seed + index}
    run = model.start(task.prompts[index].text, **options)
    with task.watch(run) as steps:
        for _ in steps:
            pass
        return run.result().images[0]


def converged() -> Setting:
    """The setting of the converged pictures, which all others are compared with."""
    return Setting(sampler=PLAIN, steps=REFERENCE_STEPS)


@dataclass(frozen=True)
class References:
    """Converged pictures on disk, which a search goes on from if they are still the same."""

    folder: Path

    def read(self, index: int, sha256: str) -> Pixels | None:
        """Read a picture, unless it is missing or another one than was written."""
        try:
            data = self._path(index).read_bytes()
        except OSError:
            return None
        if hashlib.sha256(data).hexdigest() != sha256:
            return None
        with Image.open(self._path(index)) as image:
            return np.asarray(image.convert("RGB"))

    def write(self, index: int, image: Image.Image) -> str:
        """Write a picture, whole; gives the SHA-256 of its file."""
        make_folder(self.folder.parent)
        make_folder(self.folder)
        path = save_png(image, self._path(index))
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:04}.png"


def judged(
    prompt: Prompt, reference: Pixels, image: Image.Image
) -> tuple[float | None, dict[str, bool] | None]:
    """PSNR to the converged picture, None where they are equal, and what the checker finds."""
    pixels = np.asarray(image)
    distance = psnr_db(reference, pixels)
    shown = prompt.judge(pixels) if prompt.judge else None
    return (distance if np.isfinite(distance) else None), shown
