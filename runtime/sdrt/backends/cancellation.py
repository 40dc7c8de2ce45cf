"""A wish to stop that comes from another thread and reaches the network that runs just then."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sdrt.errors import CancelledError


class Cancellation:
    """Asked once, it stays asked: whoever works for it ends at once, or does not begin."""

    def __init__(self) -> None:
        # Reentrant, because a signal's handler may ask while the same thread is in here.
        self._lock = threading.RLock()
        self._interrupt: Callable[[], object] | None = None
        self._is_requested = False

    @property
    def is_requested(self) -> bool:
        """Whether somebody wants the work to stop."""
        return self._is_requested

    def request(self) -> None:
        """Interrupt what runs now, and let nothing begin any more. Any thread may call this."""
        with self._lock:
            self._is_requested = True
            if self._interrupt:
                self._interrupt()

    def check(self) -> None:
        """Raise `CancelledError` once asked."""
        if self._is_requested:
            raise CancelledError("the run was cancelled")

    @contextmanager
    def interrupts(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """While the block runs, call `interrupt` when asked to stop; at once if that was before.

        Nobody is missed between the look and the start, and `interrupt` is never called after the
        block: what runs next belongs to somebody else.
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
