"""What a run gives: its steps, its pictures, and the time they took."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sdrt.arrays import Latents
from sdrt.backends.executed import NetworkRecord
from sdrt.images.grid import columns_of, grid
from sdrt.images.metadata import Parameters, Sheet
from sdrt.images.png import save_png
from sdrt.networks.run_state import Timings


@dataclass(frozen=True)
class Step:
    """One step of a run: `latents` and the present guess `denoised`, (images, channels, h/8, w/8).

    Both are in the U-Net's space; `Run.decode` makes pictures of them, and `Pipeline.preview` rough
    ones at once.
    """

    index: int
    count: int
    sigma: float
    """Noise level of `latents`, in units of the clean latents' deviation."""
    latents: Latents
    denoised: Latents
    seconds: float


@dataclass(frozen=True)
class Result:
    """Pictures with their seeds, the time they took, and what the caller should know."""

    images: list[Image.Image]
    parameters: list[Parameters]
    timings: Timings
    warnings: list[str]

    @property
    def seeds(self) -> list[int]:
        """The seed of each image: alone it gives the same picture again."""
        return [parameters.seed for parameters in self.parameters]

    @property
    def networks(self) -> dict[str, NetworkRecord]:
        """What each network was stored in and executed, by its name."""
        return self.parameters[0].networks

    def grid(self, columns: int | None = None) -> Image.Image:
        """All images on one sheet, about square unless `columns` says otherwise."""
        return grid(self.images, columns)

    def save_grid(
        self, path: str | Path, columns: int | None = None, with_parameters: bool = True
    ) -> Path:
        """Write `grid` as PNG, with the first image's parameters and every seed."""
        sheet = Sheet(columns or columns_of(len(self.images)), self.seeds)
        first = self.parameters[0] if with_parameters else None
        return save_png(self.grid(columns), Path(path), first, sheet)

    def save(self, path: str | Path, with_parameters: bool = True) -> list[Path]:
        """Write every image as PNG; several get their number before the suffix."""
        paths = numbered(Path(path), len(self.images))
        for image, target, parameters in zip(self.images, paths, self.parameters, strict=True):
            save_png(image, target, parameters if with_parameters else None)
        return paths


def numbered(path: Path, count: int) -> list[Path]:
    """Names for so many pictures: several get their number before the suffix."""
    if count == 1:
        return [path]
    return [path.with_stem(f"{path.stem}-{i + 1}") for i in range(count)]
