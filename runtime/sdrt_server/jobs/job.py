"""One job: what it is to make, how far it is, and what came out."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from PIL import Image

from sdrt.generation.run import Run
from sdrt.images.metadata import Parameters
from sdrt.networks.run_state import Timings

State = Literal["queued", "running", "done", "failed", "cancelled"]
Stage = Literal["waiting", "preparing", "denoising", "decoding", "finished"]
PreviewKind = Literal["proj", "tae", "none"]
FINAL: tuple[State, ...] = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Order:
    """What a job is to make, besides its run."""

    model: str
    """The name that the server has the model under."""
    prompt: str
    """The prompt as it was given."""
    steps: int
    """How many steps its run has."""
    width: int
    """Pixels of each picture, with hires of the second pass's."""
    height: int
    loras: tuple[str, ...] = ()
    """LoRAs as `FILE:WEIGHT`, to be in use while the job runs."""
    embeddings: tuple[str, ...] = ()
    """Files of textual inversions, to be in use while the job runs."""
    preview: PreviewKind = "none"
    """How steps are shown on the way: by the linear map, by the tiny decoder, or not."""


@dataclass(frozen=True)
class Progress:
    """How far a job is; each change makes a new one."""

    state: State = "queued"
    stage: Stage = "waiting"
    ahead: int | None = None
    """How many jobs come before it, while it waits."""
    step: int = 0
    """How many steps are done."""
    seconds_left: float | None = None
    """An estimate; None while there is nothing to base it on."""
    preview: Image.Image | None = None
    """The present guess, all pictures of the job on one sheet."""
    warnings: tuple[str, ...] = ()

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in FINAL


@dataclass(frozen=True)
class Picture:
    """A finished picture."""

    png: bytes
    """The file, with its parameters inside."""
    width: int
    height: int
    parameters: Parameters | None
    """What made it; None for one that was interrupted on the way, and cannot be made again."""


@dataclass(frozen=True)
class Outcome:
    """What a job made."""

    pictures: list[Picture]
    timings: Timings


@dataclass(eq=False)
class Job:
    """A job from the moment it was accepted; any thread may read it."""

    order: Order
    run: Run | None
    """The run, of which nothing was done yet; None once the job has ended, to free its memory."""
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    """Cannot be guessed: who knows it may see the pictures."""
    created: float = field(default_factory=time.time)
    progress: Progress = field(default_factory=Progress)
    outcome: Outcome | None = None
    """What it made; with each picture's file in memory."""
    error: Exception | None = None
    wants_partial: bool = False
    """Whether the last guess is to be decoded once the job is cancelled."""
    began: float | None = None
    """When it began to run, by the monotonic clock."""
    ended: float | None = None
    """When it ended, by the monotonic clock."""
    _listeners: set[Callable[[], object]] = field(default_factory=set)

    @property
    def size(self) -> int:
        """Bytes of its pictures."""
        return sum(len(picture.png) for picture in self.outcome.pictures) if self.outcome else 0

    @property
    def elapsed(self) -> float | None:
        """Seconds that it ran, so far or in all; None before it runs."""
        if self.began is None:
            return None
        return (self.ended or time.monotonic()) - self.began

    def update(
        self,
        state: State | None = None,
        stage: Stage | None = None,
        **changes: object,
    ) -> None:
        """Change what is given of the progress, and wake whoever watches."""
        named = {"state": state, "stage": stage}
        changes |= {name: value for name, value in named.items() if value is not None}
        self.progress = replace(self.progress, **changes)  # type: ignore[arg-type]
        for wake in tuple(self._listeners):
            wake()

    async def changes(self, idle_s: float = 10.0) -> AsyncIterator[Progress | None]:
        """The progress now, then whenever it has changed, to the last; None after idle seconds.

        Whoever is slow misses what is outdated by then, and never the last.
        """
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(changed.set)

        self._listeners.add(wake)
        try:
            while True:
                changed.clear()
                progress = self.progress
                yield progress
                while not progress.is_final and not changed.is_set():
                    try:
                        await asyncio.wait_for(changed.wait(), idle_s)
                    except TimeoutError:
                        yield None
                if progress.is_final:
                    return
        finally:
            self._listeners.discard(wake)

    async def finished(self) -> None:
        """Wait until nothing will change any more."""
        async for _ in self.changes():
            pass
