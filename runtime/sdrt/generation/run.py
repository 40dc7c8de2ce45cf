"""One generation: a generator of steps, then the pictures."""

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Protocol

from PIL import Image

from sdrt.arrays import Latents
from sdrt.generation.denoising_pass import DenoisingPass
from sdrt.generation.parameters import parameters
from sdrt.generation.result import Result, Step
from sdrt.memory.budget import Budget
from sdrt.memory.estimate import MemoryPlan
from sdrt.networks.open_model import OpenModel
from sdrt.networks.run_state import RunState
from sdrt.request.request import Request
from sdrt.request.resolve import decoder_of


class Passes(Protocol):
    """What makes the steps of a run: a pass, or several in a row."""

    @property
    def current(self) -> DenoisingPass:
        """The pass whose model and request describe the run by now."""
        ...

    @property
    def plan(self) -> MemoryPlan:
        """How they run within the memory that there is; raises `OutOfMemoryError`."""
        ...

    @property
    def planned(self) -> tuple[DenoisingPass, ...]:
        """Those of them that memory is planned for."""
        ...

    def __len__(self) -> int:
        """How many steps they make."""
        ...

    def with_previews(self, decoder: str | None) -> "Passes":
        """The same with a decoder in memory beside the U-Net, to decode steps on the way."""
        ...

    def run(self, state: RunState) -> Generator[Step, None, Latents]:
        """Yield each step once it is done; return the last latents, of variance one."""
        ...


class Run:
    """One generation, step by step: iterate to watch it, ask for `result()` to have it.

    Steps that nobody iterates are made by `result()`. To stop for good, leave the loop, or call
    `cancel()` from another thread.
    """

    def __init__(
        self,
        model: OpenModel,
        request: Request,
        budget: Budget | None = None,
        passes: Passes | None = None,
    ) -> None:
        """`passes` make the steps; by default it is the one pass that the request describes.

        Raises `UsageError` for a number of steps that cannot be; loads nothing.
        """
        self._passes = passes or DenoisingPass(model, request, budget or Budget())
        self._count = len(self._passes)
        self.state = RunState(decoder=request.decoder)
        self._latents: Latents | None = None
        self._iterator = self._steps()

    @property
    def model(self) -> OpenModel:
        """The model at work: a run with a refiner goes on from the base to the refiner."""
        return self._passes.current.model

    @property
    def request(self) -> Request:
        """What is made, with all defaults filled in; it goes on with `model`."""
        return self._passes.current.request

    @property
    def plan(self) -> MemoryPlan:
        """How it is run within the memory that there is; asking loads nothing yet.

        Raises `OutOfMemoryError` for what does not fit.
        """
        return self._passes.plan

    @property
    def fits(self) -> bool:
        """Whether there is memory for it now, with nothing changed to save some."""
        return all(denoising.fits for denoising in self._passes.planned)

    def check_alone(self, before: int) -> None:
        """Raise `OutOfMemoryError` for a run that does not fit even where nothing is loaded.

        `before` is what the process has in memory then, in bytes.
        """
        for denoising in self._passes.planned:
            denoising.check_alone(before)

    def __iter__(self) -> Iterator[Step]:
        """Yield each step once it is done."""
        return self._iterator

    def __len__(self) -> int:
        """How many steps the run has."""
        return self._count

    def cancel(self) -> None:
        """Stop at once, also inside a network; whoever waits for the run gets `CancelledError`.

        Any thread may call this, at any time. The networks stay good for the next run. Only
        loading and compiling a network go on to their end.
        """
        self.state.cancellation.request()

    def will_decode(self, decoder: str | None = None) -> None:
        """Plan for steps that are decoded on the way: a decoder is in memory beside the U-Net.

        `decoder` is as in `decode`. Call it before the run is planned or begun.
        """
        self._passes = self._passes.with_previews(decoder)

    def decode(self, latents: Latents, decoder: str | None = None) -> list[Image.Image]:
        """Turn latents into pictures as a part of the run: it can be cancelled, its time counts.

        `decoder` is "full" or "tiny"; by default it is the run's own.
        """
        state = self.state
        if decoder is not None:
            state = replace(state, decoder=decoder_of(self.model.manifest, decoder))
        return self._passes.current.decode(latents, state)

    def latents(self) -> Latents:
        """Make the steps that are left; return the last latents, (images, channels, h/8, w/8).

        They are of variance one, as the U-Net takes them: with `denoising_end` there is noise in
        them, and another run goes on from there with `latents` and `denoising_start`.
        """
        for _ in self._iterator:
            pass
        self.state.cancellation.check()
        if self._latents is None:
            raise RuntimeError("this run was stopped before its last step")
        return self._latents

    def result(self) -> Result:
        """Make the steps that are left, then the pictures."""
        images = self.decode(self.latents())
        model, request, state = self.model, self.request, self.state
        if request.init:
            images = [request.init.paste(image) for image in images]
        precision_warnings = state.precision_warnings(model.backend, model.manifest.precision)
        return Result(
            images=images,
            parameters=[parameters(model, request, seed, state) for seed in request.seeds],
            timings=state.timings,
            warnings=[*state.warnings, *precision_warnings],
        )

    def _steps(self) -> Iterator[Step]:
        self._latents = yield from self._passes.run(self.state)


def renumbered(
    steps: Generator[Step, None, Latents], made: int, count: int
) -> Generator[Step, None, Latents]:
    """The same steps as a part of a longer row, after those that were made before."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            latents: Latents = end.value
            return latents
        yield replace(step, index=made + step.index, count=count)
