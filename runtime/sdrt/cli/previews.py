"""The previews that `sdrt generate` writes during a run."""

import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sdrt.arrays import Latents
from sdrt.cli.generate_options import PreviewOptions
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
    """Files that show the model's estimate of the final picture after some of the steps."""

    options: PreviewOptions

    @property
    def kept_networks(self) -> frozenset[str]:
        """The networks to keep in memory between uses: only the decoders, if previews use them.

        A command makes one run, which comes back to no other network.
        """
        return frozenset(DECODERS.values() if self._decodes else ())

    def paths(self, steps: int) -> list[Path]:
        """The files that a run of that many steps writes: one, or with %d one for each preview."""
        if self.options.preview is None:
            return []
        numbers = range(self._interval, steps + 1, self._interval)
        return list(dict.fromkeys(self._path(number) for number in numbers))

    def check(self, manifest: Manifest) -> None:
        """Raise `UsageError` or `UnsupportedError` for previews that the model cannot give."""
        options = self.options
        if options.preview is None and (options.preview_path or options.preview_interval):
            raise UsageError(
                "--preview-path and --preview-interval were given without --preview; add "
                "--preview proj (rough, takes no time), tae (a tiny decoder) or vae (decodes)"
            )
        if options.preview == "proj":
            check_previewable(manifest.latent)
        if options.preview == "tae":
            decoder_of(manifest, "tiny")

    def plan(self, run: Run) -> None:
        """Have the run plan memory for a decoder next to the U-Net, if previews use one."""
        if self._decodes:
            run.will_decode(self._decoder)

    def update(self, run: Run, step: Step) -> None:
        """Write a preview of a step if one is due; a batch goes on one sheet."""
        number = step.index + 1
        if self.options.preview is None or number % self._interval:
            return
        save_png(grid(self._pictures(run, step.denoised)), self._path(number))

    @property
    def _decodes(self) -> bool:
        return self.options.preview in ("vae", "tae")

    @property
    def _decoder(self) -> str | None:
        """The name of the decoder, or None for the run's own."""
        return "tiny" if self.options.preview == "tae" else None

    @property
    def _interval(self) -> int:
        return self.options.preview_interval or 1

    def _pictures(self, run: Run, latents: Latents) -> list[Image.Image]:
        if self._decodes:
            return run.decode(latents, self._decoder)
        return run.model.preview(latents)

    def _path(self, number: int) -> Path:
        path = self.options.preview_path or Path("preview.png")
        return path.parent / NUMBER.sub(lambda match: f"{number:{match[1]}d}", path.name)
