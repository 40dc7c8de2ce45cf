"""Makes the pictures of a job on its model."""

import logging
import time
from collections.abc import Sequence
from statistics import median

from PIL import Image

from sdrt import machine
from sdrt.errors import CancelledError, OutOfMemoryError, SdrtError
from sdrt.generation.result import Result, Step
from sdrt.generation.run import Run
from sdrt.images.grid import grid
from sdrt.images.metadata import Parameters
from sdrt.images.png import png_bytes, to_image
from sdrt_server.errors import InternalError
from sdrt_server.jobs.job import Job, Outcome, Picture, PreviewKind
from sdrt_server.metrics import Metrics
from sdrt_server.models.shelf import ServedModel, Shelf

LATEST = 8  # steps that the time of the next ones is estimated from

log = logging.getLogger("sdrt.server")


class Worker:
    """Called with one job after another, by the one thread that computes."""

    def __init__(self, shelf: Shelf, metrics: Metrics) -> None:
        self._shelf, self._metrics = shelf, metrics

    def __call__(self, job: Job) -> None:
        """Make a job's pictures and keep them in it; raises `SdrtError` and nothing else."""
        self._metrics.waited(time.time() - job.created)
        served = self._shelf.find(job.order.model)
        try:
            self._make(job, served)
        except CancelledError:
            raise
        except MemoryError as error:
            served.pipe.release()
            machine.give_back_memory()
            if isinstance(error, SdrtError):
                raise
            raise OutOfMemoryError("the machine has too little free memory") from error
        except SdrtError as error:
            log.warning("job %s failed: %s", job.id, error)
            raise
        except Exception as error:
            log.exception("job %s failed by a mistake in sdrt", job.id)
            served.pipe.release()  # whatever state they are in
            raise InternalError(job.id) from error

    def _make(self, job: Job, served: ServedModel) -> None:
        run = job.run
        assert run is not None
        self._shelf.prepare(served, job.order, run)
        last: Step | None = None
        try:
            for step in run:
                last = step
                job.update(
                    stage="denoising",
                    step=step.index + 1,
                    seconds_left=_seconds_left(run, step, served),
                    preview=_preview(run, step, job.order.preview),
                    warnings=tuple(run.state.warnings),
                )
            job.update(stage="decoding")
            result = run.result()
        except CancelledError:
            if not (job.wants_partial and last):
                raise
            job.outcome = Outcome(_partial(run, last), run.state.timings)
            return
        served.decoding_s = result.timings.vae_decoder_s / _pixels(run)
        job.update(warnings=tuple(result.warnings))
        job.outcome = Outcome(_pictures(result), result.timings)


def _pictures(result: Result) -> list[Picture]:
    pairs = zip(result.images, result.parameters, strict=True)
    return [_picture(image, parameters) for image, parameters in pairs]


def _partial(run: Run, step: Step) -> list[Picture]:
    """The present guess of an interrupted run, decoded; nothing could make it again."""
    decoded = run.model.decode(step.denoised)
    return [_picture(to_image(picture), None) for picture in decoded]


def _picture(image: Image.Image, parameters: Parameters | None) -> Picture:
    return Picture(png_bytes(image, parameters), image.width, image.height, parameters)


def _seconds_left(run: Run, step: Step, served: ServedModel) -> float:
    latest = run.state.timings.step_s[-LATEST:]
    decoding = (served.decoding_s or 0.0) * _pixels(run)
    return (step.count - step.index - 1) * median(latest) + decoding


def _pixels(run: Run) -> int:
    """Pixels of all pictures of a run."""
    size = run.request.hires or run.request
    return size.width * size.height * len(run.request.seeds)


def _preview(run: Run, step: Step, kind: PreviewKind) -> Image.Image | None:
    if kind == "none":
        return None
    images: Sequence[Image.Image]
    if kind == "tae":
        images = run.decode(step.denoised, "tiny")
    else:
        images = run.model.preview(step.denoised)
    return grid(images)
