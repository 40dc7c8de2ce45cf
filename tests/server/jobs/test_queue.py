import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

import pytest

from sdrt.errors import CancelledError, UsageError
from sdrt.generation.run import Run
from sdrt.networks.run_state import Timings
from sdrt_server.errors import JobTimeoutError, QueueFullError, StoppingError, UnknownJobError
from sdrt_server.jobs import queue as queue_module
from sdrt_server.jobs.job import Job, Order, Outcome, Picture, Progress
from sdrt_server.jobs.queue import JobQueue
from tests.server.serving import WAIT_S


@dataclass
class FakeRun:
    """A run that lasts until it is told to end, or cancelled."""

    is_over: threading.Event = field(default_factory=threading.Event)
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True
        self.is_over.set()


def perform(job: Job) -> None:
    run = cast(FakeRun, job.run)
    assert run.is_over.wait(WAIT_S)
    if run.is_cancelled:
        raise CancelledError("the run was cancelled")
    if job.order.prompt == "bad":
        raise UsageError("bad prompt")


def job(prompt: str = "x") -> Job:
    return Job(Order("tiny", prompt, 1, 64, 64), cast(Run, FakeRun()))


def finish(each: Job) -> None:
    """Let a job's run end, and wait until the job has."""
    if each.run:
        cast(FakeRun, each.run).is_over.set()
    wait_for(lambda: each.progress.is_final)


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    queue = JobQueue(perform, max_waiting=2, job_timeout=WAIT_S)
    yield queue
    queue.stop()


def test_jobs_run_one_at_a_time_in_the_order_of_their_arrival(queue: JobQueue) -> None:
    first, second, third = jobs = [job(), job(), job()]
    queue.submit(first)
    wait_for(lambda: queue.running is first)
    queue.submit(second)
    queue.submit(third)
    assert [each.progress.ahead for each in jobs] == [None, 1, 2]
    finish(first)
    wait_for(lambda: queue.running is second)
    assert (first.progress.state, third.progress.ahead) == ("done", 1)
    finish(second)
    finish(third)
    assert queue.jobs() == [third, second, first]
    assert all(each.run is None for each in jobs)  # their memory is free again


def test_a_full_queue_says_after_how_many_seconds_to_come_back(queue: JobQueue) -> None:
    running, *waiting = [job(), job(), job()]
    queue.submit(running)
    wait_for(lambda: queue.running is running)
    running.update(seconds_left=6.5)
    for each in waiting:
        queue.submit(each)
    with pytest.raises(QueueFullError, match="2 jobs are waiting already.*about 7 s") as caught:
        queue.submit(job())
    assert caught.value.seconds == 7
    for each in (running, *waiting):
        finish(each)


def test_a_job_that_fails_is_no_end_of_the_queue(queue: JobQueue) -> None:
    bad, good = job("bad"), job()
    for each in (bad, good):
        queue.submit(each)
        finish(each)
    assert (bad.progress.state, str(bad.error)) == ("failed", "bad prompt")
    assert good.progress.state == "done"


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_by_its_run(queue: JobQueue) -> None:
    running, waiting, last = job(), job(), job()
    for each in (running, waiting, last):
        queue.submit(each)
    wait_for(lambda: queue.running is running)
    queue.cancel(waiting)
    assert (waiting.progress.state, last.progress.ahead) == ("cancelled", 1)
    queue.cancel(running)
    wait_for(lambda: running.progress.is_final)
    assert running.progress.state == "cancelled"
    finish(last)
    queue.cancel(last)  # of one that is done, nothing comes
    assert last.progress.state == "done"


def test_a_job_that_runs_too_long_is_ended() -> None:
    queue = JobQueue(perform, max_waiting=1, job_timeout=0.02)
    slow = job()
    queue.submit(slow)
    wait_for(lambda: slow.progress.is_final)
    assert isinstance(slow.error, JobTimeoutError)
    assert "as long as one may" in str(slow.error)
    queue.stop()


def test_stopping_answers_what_waits_and_lets_the_running_job_end(queue: JobQueue) -> None:
    running, waiting = job(), job()
    queue.submit(running)
    wait_for(lambda: queue.running is running)
    queue.submit(waiting)
    queue.stop(grace_s=WAIT_S)
    assert isinstance(waiting.error, StoppingError)
    assert not running.progress.is_final
    with pytest.raises(StoppingError):
        queue.submit(job())
    finish(running)
    assert running.progress.state == "done"
    queue.join(WAIT_S)


@pytest.mark.parametrize("graces", [[0.0], [0.02], [WAIT_S, WAIT_S]])
def test_the_running_job_is_cancelled_after_the_grace_or_a_second_stop(
    queue: JobQueue, graces: list[float]
) -> None:
    running = job()
    queue.submit(running)
    wait_for(lambda: queue.running is running)
    for grace in graces:
        queue.stop(grace)
    queue.join(WAIT_S)
    assert running.progress.state == "cancelled"


def test_finished_jobs_are_forgotten_one_day(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "KEPT_JOBS", 2)
    jobs = [job() for _ in range(3)]
    for each in jobs:
        queue.submit(each)
        finish(each)
    with pytest.raises(UnknownJobError, match="are forgotten after a while"):
        queue.find(jobs[0].id)
    assert queue.find(jobs[1].id) is jobs[1]
    jobs[1].outcome = Outcome([Picture(b"12345", 1, 1, None)], Timings())
    monkeypatch.setattr(queue_module, "KEPT_BYTES", 4)
    assert queue.jobs() == [jobs[2]]
    monkeypatch.setattr(queue_module, "KEPT_SECONDS", -1.0)
    assert queue.jobs() == []


def test_who_watches_sees_the_state_now_each_change_and_the_end() -> None:
    watched = job()

    async def watch() -> list[Progress | None]:
        seen = []
        async for progress in watched.changes(idle_s=0.01):
            seen.append(progress)
            if progress is None and watched.progress.state == "queued":
                watched.update(state="running", stage="preparing")
            elif progress and progress.state == "running":
                watched.update(state="done", stage="finished")
        return seen

    seen = asyncio.run(watch())
    states = [progress.state if progress else None for progress in seen]
    assert states == ["queued", None, "running", "done"]


def test_a_slow_watcher_misses_what_is_outdated_and_not_the_last() -> None:
    watched = job()

    async def watch() -> list[int]:
        steps = []
        async for progress in watched.changes():
            assert progress
            steps.append(progress.step)
            if progress.step == 0:
                for step in range(1, 10):
                    watched.update(step=step)
            else:
                watched.update(state="done")
        return steps

    assert asyncio.run(watch()) == [0, 9, 9]
