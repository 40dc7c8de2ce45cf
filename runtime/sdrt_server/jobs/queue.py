"""The queue: jobs take turns on the cores, one at a time, in the order of their arrival."""

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from math import ceil

from sdrt.errors import CancelledError
from sdrt_server.errors import JobTimeoutError, QueueFullError, StoppingError, UnknownJobError
from sdrt_server.jobs.job import Job

KEPT_JOBS, KEPT_BYTES, KEPT_SECONDS = 64, 256 * 2**20, 3600.0
"""How many finished jobs are kept, with how many bytes of pictures, and for how long."""
FIRST_GUESS = 30.0
"""Seconds of a job, until one has shown how long it takes."""

log = logging.getLogger("sdrt.server")


class JobQueue:
    """Waiting jobs, the one that runs, and those that were finished lately.

    `perform` makes the pictures of a job, in a thread of the queue's own; whatever it raises is
    the job's end and not the queue's.
    """

    def __init__(
        self,
        perform: Callable[[Job], None],
        max_waiting: int,
        job_timeout: float,
        on_end: Callable[[Job], object] = lambda job: None,
    ) -> None:
        self._perform, self._on_end = perform, on_end
        self._max_waiting, self._job_timeout = max_waiting, job_timeout
        self._lock = threading.RLock()
        self._has_work = threading.Condition(self._lock)
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._finished: OrderedDict[str, Job] = OrderedDict()
        self._is_stopping = False
        self._mean_s = FIRST_GUESS
        self._thread = threading.Thread(target=self._work, name="sdrt-jobs", daemon=True)
        self._thread.start()

    @property
    def running(self) -> Job | None:
        """The job at work."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    @property
    def is_stopping(self) -> bool:
        """Whether no more jobs are taken."""
        return self._is_stopping

    def jobs(self) -> list[Job]:
        """All jobs that are known, the newest first."""
        with self._lock:
            self._forget()
            running = [self._running] if self._running else []
            known = [*self._finished.values(), *running, *self._waiting]
        return sorted(known, key=lambda job: job.created, reverse=True)

    def find(self, id: str) -> Job:
        """The job of an id; raises `UnknownJobError`."""
        job = next((job for job in self.jobs() if job.id == id), None)
        if job is None:
            raise UnknownJobError(id)
        return job

    def check_room(self) -> None:
        """Raise `QueueFullError` or `StoppingError` if no job would be taken now."""
        if self._is_stopping:
            raise StoppingError
        # One more than may wait, as the next to run is among them until the thread takes it.
        if len(self._waiting) + bool(self._running) > self._max_waiting:
            raise QueueFullError(self._max_waiting, self.seconds_until_free())

    def submit(self, job: Job) -> None:
        """Put a job at the end; raises as `check_room` does."""
        with self._lock:
            self.check_room()
            self._waiting.append(job)
            self._tell_positions()
            self._has_work.notify()

    def seconds_until_free(self) -> int:
        """After how many seconds a place in the queue is likely to be free."""
        running = self._running
        left = running.progress.seconds_left if running else None
        return max(1, ceil(self._mean_s if left is None else left))

    def cancel(self, job: Job) -> None:
        """End a job: at once if it waits, within a kernel's time if it runs."""
        with self._lock:
            if job in self._waiting:
                self._waiting.remove(job)
                self._end(job, CancelledError("the job was cancelled before it ran"))
                self._tell_positions()
            elif job is self._running and job.run:
                job.run.cancel()

    def stop(self, grace_s: float = 0.0) -> None:
        """Take no more jobs, answer those that wait, and cancel what still runs after `grace_s`."""
        with self._lock:
            is_first = not self._is_stopping
            self._is_stopping = True
            waiting = list(self._waiting)
            self._waiting.clear()
            for job in waiting:
                self._end(job, StoppingError())
            self._has_work.notify()
            running = self._running.run if self._running else None
        if running and (grace_s <= 0 or not is_first):
            running.cancel()
        elif running:
            timer = threading.Timer(grace_s, running.cancel)
            timer.daemon = True
            timer.start()

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for the last job to end, after `stop`."""
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while True:
            with self._lock:
                while not self._waiting and not self._is_stopping:
                    self._has_work.wait()
                if not self._waiting:
                    return
                job = self._running = self._waiting.popleft()
                job.began = time.monotonic()
                job.update(state="running", stage="preparing", ahead=None)
                self._tell_positions()
            error = self._performed(job)
            with self._lock:
                self._running = None
                self._end(job, error)

    def _performed(self, job: Job) -> Exception | None:
        """Make a job's pictures; the error that it ended with."""
        is_late = threading.Event()

        def end() -> None:
            is_late.set()
            self.cancel(job)

        timer = threading.Timer(self._job_timeout, end)
        timer.daemon = True
        timer.start()
        try:
            self._perform(job)
        except CancelledError as error:
            if is_late.is_set():
                return JobTimeoutError(
                    f"the job ran for {self._job_timeout:g} s, which is as long as one may; ask "
                    "for fewer steps or pixels, or start the server with a longer --job-timeout"
                )
            return error
        except Exception as error:
            return error
        finally:
            timer.cancel()
        return None

    def _end(self, job: Job, error: Exception | None) -> None:
        """Keep a job as finished, and tell whoever watches it."""
        job.error = _without_frames(error) if error else None
        job.ended, job.run = time.monotonic(), None
        if error is None and job.elapsed:
            self._mean_s = 0.7 * self._mean_s + 0.3 * job.elapsed
        self._finished[job.id] = job
        self._forget()
        is_cancelled = isinstance(error, CancelledError)
        try:
            self._on_end(job)
        except Exception:  # whatever it is, whoever waits for the job gets an answer
            log.exception("the end of job %s could not be counted", job.id)
        job.update(
            state="done" if error is None else "cancelled" if is_cancelled else "failed",
            stage="finished",
            ahead=None,
            seconds_left=None if error else 0.0,
            preview=None,
        )

    def _forget(self) -> None:
        """Drop the oldest finished jobs, with their pictures; what was just made stays."""
        oldest = time.monotonic() - KEPT_SECONDS
        size = sum(job.size for job in self._finished.values())
        for job in tuple(self._finished.values()):
            is_old = (job.ended or 0) < oldest
            is_much = size > KEPT_BYTES and len(self._finished) > 1
            if not (is_old or is_much or len(self._finished) > KEPT_JOBS):
                return
            size -= job.size
            del self._finished[job.id]

    def _tell_positions(self) -> None:
        before = 1 if self._running else 0
        for position, job in enumerate(self._waiting):
            if job.progress.ahead != position + before:
                job.update(ahead=position + before)


def _without_frames(error: Exception) -> Exception:
    """The error without its tracebacks, whose frames would keep a run's arrays in memory."""
    linked: BaseException | None = error
    while linked is not None:
        linked.__traceback__ = None
        linked = linked.__cause__ or linked.__context__
    return error
