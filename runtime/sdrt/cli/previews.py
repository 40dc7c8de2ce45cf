"""Preview files of a run in progress."""

import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sdrt.arrays import Latents
from sdrt.errors import UsageError
from sdrt.generation.result import Step
from sdrt.generation.run import Run
from sdrt.images.grid import grid
from sdrt.images.latent_preview import check_previewable
from sdrt.images.png import save_png
from sdrt.manifest import Manifest
from sdrt.request.request import DECODERS
from sdrt.request.resolve import decoder_of

NUMBER = re.compile(r"%(0?\d?)d")


@dataclass(frozen=True)
class Previews:
    """Pictures of what the model aims at, written on the way, by the options' names."""

    preview: str | None
    preview_path: Path | None
    preview_interval: int | None

    @property
    def networks(self) -> frozenset[str]:
        """What is to stay in memory between its uses: of one run only what previews come back to.

        Everything else, once it has been used, is in the way of the network after it.
        """
        return frozenset(DECODERS.values() if self.preview in ("vae", "tae") else ())

    def paths(self, steps: int) -> list[Path]:
        """Where a run of so many steps writes: to one file, or to as many as a %d makes of it."""
        if self.preview is None:
            return []
        interval = self.preview_interval or 1
        return list(
            dict.fromkeys(self._path(step) for step in range(interval, steps + 1, interval))
        )

    def check(self, manifest: Manifest) -> None:
        """Raise `UsageError` or `UnsupportedError` for what cannot be shown."""
        if self.preview is None and (self.preview_path or self.preview_interval):
            raise UsageError(
                "--preview-path and --preview-interval were given without --preview; add "
                "--preview proj (rough, takes no time), tae (a tiny decoder) or vae (decodes)"
            )
        if self.preview == "proj":
            check_previewable(manifest.latent)
        if self.preview == "tae":
            decoder_of(manifest, "tiny")

    def plan(self, run: Run) -> None:
        """Let the run plan for the decoder beside its U-Net, if one shows its steps."""
        if self.preview in ("vae", "tae"):
            run.will_decode(self._decoder)

    @property
    def _decoder(self) -> str | None:
        """The decoder's name: the run's own unless it is to be the tiny one."""
        return "tiny" if self.preview == "tae" else None

    def see(self, run: Run, step: Step) -> None:
        """Write a preview if it is time for one; a batch goes on one sheet."""
        if self.preview is None or (step.index + 1) % (self.preview_interval or 1):
            return
        save_png(grid(self._shown(run, step.denoised)), self._path(step.index + 1))

    def _shown(self, run: Run, latents: Latents) -> list[Image.Image]:
        if self.preview == "proj":
            return run.model.preview(latents)
        return run.decode(latents, self._decoder)

    def _path(self, step: int) -> Path:
        path = self.preview_path or Path("preview.png")
        return path.parent / NUMBER.sub(lambda found: f"{step:{found[1]}d}", path.name)
