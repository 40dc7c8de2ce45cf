"""Cancellation from another thread, also inside a running network."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sdrt.errors import CancelledError


class Cancellation:
    """A cancellation token: once requested, running work ends at once and none begins."""

    def __init__(self) -> None:
        # Reentrant, because a signal handler may call `request` while its thread holds the lock.
        self._lock = threading.RLock()
        self._interrupt: Callable[[], object] | None = None
        self._is_requested = False

    @property
    def is_requested(self) -> bool:
        """Whether the work was cancelled."""
        return self._is_requested

    def request(self) -> None:
        """Interrupt what runs now, and let nothing else begin. Any thread may call this."""
        with self._lock:
            self._is_requested = True
            if self._interrupt:
                self._interrupt()

    def check(self) -> None:
        """Raise `CancelledError` if the work was cancelled."""
        if self._is_requested:
            raise CancelledError("the run was cancelled")

    @contextmanager
    def interrupts(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """While the block runs, a request calls `interrupt`; an earlier one calls it at once.

        No request is missed between the check and the start, and `interrupt` is never called after
        the block, when other work may be running.
        """
        with self._lock:
            self._interrupt = interrupt
            if self._is_requested:
                interrupt()
        try:
            yield
        finally:
            with self._lock:
                self._interrupt = None
