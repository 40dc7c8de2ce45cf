"""Which processors a test process runs on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

HAS_AFFINITY = hasattr(os, "sched_setaffinity")
ALL = sorted(os.sched_getaffinity(0)) if HAS_AFFINITY else []


def take_own_processors() -> None:
    """Give each test process processors of its own.

    Threads of engines wait for each other in loops, and where two processes share the processors,
    such loops are what keeps them busy: a fifth of the time of all tests.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if worker and HAS_AFFINITY:
        share = ALL[int(worker) :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])]
        os.sched_setaffinity(0, share or ALL)


@contextmanager
def all_processors() -> Iterator[None]:
    """Let what is started inside use every processor, as a compiler may."""
    if not HAS_AFFINITY:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, ALL)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
