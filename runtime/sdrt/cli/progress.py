"""What goes on beside a run of `sdrt generate`: progress, previews, an ear for Ctrl-C."""

import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from sdrt.errors import CancelledError, UsageError
from sdrt.image import save_png
from sdrt.manifest import Manifest
from sdrt.preview import check_previewable
from sdrt.request import DECODERS, decoder_of
from sdrt.result import Step
from sdrt.run import Run
from sdrt.samplers import Latents
from sdrt.sheet import grid

PROGRESS = "{desc} {n}/{total} [{bar:30}] {rate_inv_fmt}, {remaining} left"
NUMBER = re.compile(r"%(0?\d?)d")


def progress(run: Run, quiet: bool) -> Iterator[Step]:
    """The steps of a run, with a bar where somebody watches."""
    silent = quiet or not sys.stderr.isatty()
    yield from tqdm(run, "step", len(run), leave=False, disable=silent, bar_format=PROGRESS)


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
            return run.pipeline.preview(latents)
        return run.decode(latents, self._decoder)

    def _path(self, step: int) -> Path:
        path = self.preview_path or Path("preview.png")
        return path.parent / NUMBER.sub(lambda found: f"{step:{found[1]}d}", path.name)


@contextmanager
def cancelled_by_ctrl_c(run: Run) -> Iterator[None]:
    """Let Ctrl-C end a run inside a step.

    Python handles signals between its own instructions only, and a network may run for minutes. A
    second thread hears of them at once.
    """
    ear, mouth = socket.socketpair()
    mouth.setblocking(False)

    def listen() -> None:
        while heard := ear.recv(1):
            if heard[0] == signal.SIGINT:
                run.cancel()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    before = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    try:
        yield
    except CancelledError as error:  # nobody else could have asked
        raise KeyboardInterrupt from error
    finally:
        signal.set_wakeup_fd(before)
        mouth.close()
        listener.join()
        ear.close()
