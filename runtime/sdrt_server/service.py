"""What the routes stand on: asks for pictures become jobs, and jobs pictures."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from sdrt.adapters.lora_loading import LoraSpec, open_loras
from sdrt.adapters.textual_inversion import TextualInversions
from sdrt.errors import UsageError
from sdrt.generation.refiner_run import START, refiner_run
from sdrt.generation.run import Run
from sdrt.pipeline import Pipeline
from sdrt.request.options import Options
from sdrt_server.jobs.job import Job, Order, PreviewKind
from sdrt_server.jobs.queue import JobQueue
from sdrt_server.limits import Limits
from sdrt_server.metrics import Metrics
from sdrt_server.models.adapter_files import AdapterFiles
from sdrt_server.models.shelf import ServedModel, Shelf
from sdrt_server.worker import Worker

log = logging.getLogger("sdrt.server")


@dataclass(frozen=True)
class Ask:
    """What a client asks for, whichever API it came by."""

    prompt: str
    options: Options = field(default_factory=Options)
    """As `Pipeline.start` takes them, pictures opened."""
    model: str | None = None
    """The name of a model; None for the server's default."""
    loras: Sequence[tuple[str, float]] = ()
    """Names of LoRAs with their weights."""
    embeddings: Sequence[str] = ()
    """Names of textual inversions."""
    refiner: str | None = None
    """The name of the model that makes the last steps."""
    refiner_start: float | None = None
    preview: PreviewKind | None = None
    """How steps are to be shown; None for the linear map, where the model has it."""


class Service:
    """The models, the queue and the limits of one server."""

    def __init__(
        self,
        pipelines: Mapping[str, Pipeline],
        limits: Limits | None = None,
        loras: AdapterFiles | None = None,
        embeddings: AdapterFiles | None = None,
        patience_s: float = 10.0,
        keeps_abandoned: bool = False,
        log_prompts: bool = False,
    ) -> None:
        """`pipelines` has at least one model; the first is the default.

        A space goes every `patience_s` to clients that wait for JSON, where their API allows it;
        infinite for never. With `keeps_abandoned` a job goes on when its client leaves.
        """
        self.limits = limits or Limits()
        self.loras = loras or AdapterFiles("LoRA")
        self.embeddings = embeddings or AdapterFiles("embedding")
        self.shelf = Shelf({name: ServedModel(name, pipe) for name, pipe in pipelines.items()})
        self.metrics = Metrics()
        self.queue = JobQueue(
            Worker(self.shelf, self.metrics),
            self.limits.max_queue,
            self.limits.job_timeout,
            self._ended,
        )
        self.metrics.watch(self.queue)
        self.patience_s = patience_s
        self._keeps_abandoned, self._log_prompts = keeps_abandoned, log_prompts

    def submit(self, ask: Ask) -> Job:
        """Check what is asked for, and put it into the queue; it takes no more than a moment.

        Raises `UsageError`, `UnsupportedError` or `ArtifactError` for what cannot be made,
        `OutOfMemoryError` for what will not fit, `QueueFullError` or `StoppingError`.
        """
        self.queue.check_room()  # before any work, so that refusing costs next to nothing
        served = self.shelf.find(ask.model)
        self.limits.check_prompt("prompt", ask.prompt)
        self.limits.check_prompt("negative_prompt", ask.options.get("negative_prompt", ""))
        self.limits.check_options(ask.options)
        preview = self._preview(served, ask.preview)
        loras, embeddings = self._adapters(served, ask)
        run = self._run(served, ask)
        self.limits.check_run(run)
        if preview == "tae":
            run.will_decode("tiny")
        run.check_alone(self.shelf.empty_bytes)
        size = run.request.hires or run.request
        order = Order(
            model=served.name,
            prompt=ask.prompt,
            steps=len(run),
            width=size.width,
            height=size.height,
            loras=loras,
            embeddings=embeddings,
            preview=preview,
        )
        job = Job(order, run)
        self.queue.submit(job)
        asked = f"{served.name}, {size.width}x{size.height}, {len(run)} steps"
        prompt = f": {ask.prompt!r}" if self._log_prompts else ""
        log.info("job %s waits: %s%s", job.id, asked, prompt)
        return job

    def abandon(self, job: Job) -> None:
        """Cancel a job whose client has left, unless such jobs are kept."""
        if not self._keeps_abandoned:
            self.queue.cancel(job)

    @property
    def private_paths(self) -> Mapping[str, str]:
        """Paths that no answer may have, and what stands for each."""
        folders = [self.loras.folder, self.embeddings.folder]
        paths = {str(folder): "." for folder in folders if folder}
        models = self.shelf.models.values()
        return {str(model.pipe.artifact.root): model.name for model in models} | paths

    def _run(self, served: ServedModel, ask: Ask) -> Run:
        if ask.refiner is None:
            if ask.refiner_start is not None:
                raise UsageError("refiner_start was given without a refiner", "refiner_start")
            return served.pipe.start(ask.prompt, **ask.options)
        start = START if ask.refiner_start is None else ask.refiner_start
        refiner = self.shelf.find(ask.refiner)
        if refiner is served:
            raise UsageError(f"{ask.refiner!r} cannot be its own refiner", "refiner")
        return refiner_run(
            served.pipe, refiner.pipe, start, ask.prompt, ask.options, served.pipe.budget
        )

    def _adapters(self, served: ServedModel, ask: Ask) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The files of the adapters, held against the model."""
        loras = tuple(
            f"{self.loras.find(name, 'loras')}:{weight!r}" for name, weight in ask.loras if weight
        )
        embeddings = tuple(str(self.embeddings.find(name, "embeddings")) for name in ask.embeddings)
        artifact, backend = served.pipe.artifact, served.pipe.backend
        open_loras(artifact, backend, [LoraSpec.parse(lora) for lora in loras])
        if embeddings:
            TextualInversions.open(artifact, backend, embeddings)
        return loras, embeddings

    def _preview(self, served: ServedModel, kind: PreviewKind | None) -> PreviewKind:
        if kind is None:
            return "proj" if "proj" in served.previews else "none"
        if kind != "none" and kind not in served.previews:
            has = ", ".join((*served.previews, "none"))
            raise UsageError(f"{served.name!r} has no previews {kind!r}; it has: {has}", "preview")
        return kind

    def _ended(self, job: Job) -> None:
        self.metrics.ended(job)
        how = "ended" if job.error is None else type(job.error).__name__
        log.info("job %s: %s after %.3g s", job.id, how, job.elapsed or 0.0)


def _of_request(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


ServiceOf = Annotated[Service, Depends(_of_request)]
"""The type of a route's parameter that is given the application's service."""
