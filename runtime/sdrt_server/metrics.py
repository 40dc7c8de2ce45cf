"""What a server measures, in the form that Prometheus reads."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sdrt import machine
from sdrt.errors import CancelledError
from sdrt_server.jobs.job import Job
from sdrt_server.jobs.queue import JobQueue

SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)


class Metrics:
    """Counters of one server; their names begin with `sdrt_`."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._jobs = Counter("sdrt_jobs", "Jobs that ended, by how.", ["state"], registry=registry)
        self._pictures = Counter("sdrt_pictures", "Pictures made.", ["model"], registry=registry)
        self._refused = Counter(
            "sdrt_refused", "Requests refused, by why.", ["reason"], registry=registry
        )
        self._steps = Histogram(
            "sdrt_step_seconds",
            "Seconds of a step, by the precision that the U-Net was executed in.",
            ["model", "precision"],
            buckets=SECONDS,
            registry=registry,
        )
        self._job_s = Histogram(
            "sdrt_job_seconds",
            "Seconds that a job ran.",
            ["model"],
            buckets=SECONDS,
            registry=registry,
        )
        self._wait_s = Histogram(
            "sdrt_queue_wait_seconds",
            "Seconds that a job waited.",
            buckets=SECONDS,
            registry=registry,
        )

    def watch(self, queue: JobQueue) -> None:
        """Show the queue's length and the memory of the process too."""
        self.registry.register(_Gauges(queue))

    def refused(self, reason: str) -> None:
        """Count a request that was refused; the reason is the name of an error."""
        self._refused.labels(reason).inc()

    def waited(self, seconds: float) -> None:
        """Count how long a job waited before it ran."""
        self._wait_s.observe(seconds)

    def ended(self, job: Job) -> None:
        """Count a job that ended."""
        model = job.order.model
        is_cancelled = isinstance(job.error, CancelledError)
        state = "cancelled" if is_cancelled else "failed" if job.error else "done"
        self._jobs.labels(state).inc()
        if job.elapsed is not None:
            self._job_s.labels(model).observe(job.elapsed)
        if job.outcome is None:
            return
        self._pictures.labels(model).inc(len(job.outcome.pictures))
        first = job.outcome.pictures[0].parameters
        steps = self._steps.labels(model, first.executed_precision if first else "unknown")
        for seconds in job.outcome.timings.step_s:
            steps.observe(seconds)

    def text(self) -> bytes:
        """All of them, in Prometheus's text format."""
        return generate_latest(self.registry)


class _Gauges(Collector):
    """What is read at the moment that somebody asks."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    def collect(self) -> Iterable[Metric]:
        """The values now."""
        return self._values()

    def describe(self) -> Iterable[Metric]:
        """Nothing that has to be known before."""
        return ()

    def _values(self) -> Iterator[Metric]:
        queue = self._queue
        yield GaugeMetricFamily("sdrt_jobs_waiting", "Jobs that wait.", queue.waiting)
        yield GaugeMetricFamily("sdrt_jobs_running", "Jobs at work.", int(bool(queue.running)))
        resident = machine.resident_bytes()
        yield GaugeMetricFamily("sdrt_resident_bytes", "Memory of the process.", resident)
