"""What goes on beside a run of `sdrt generate`: progress, previews, an ear for Ctrl-C."""

import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from sdrt.errors import CancelledError
from sdrt.generation.result import Step
from sdrt.generation.run import Run

PROGRESS = "{desc} {n}/{total} [{bar:30}] {rate_inv_fmt}, {remaining} left"


def progress(run: Run, quiet: bool) -> Iterator[Step]:
    """The steps of a run, with a bar where somebody watches."""
    silent = quiet or not sys.stderr.isatty()
    yield from tqdm(run, "step", len(run), leave=False, disable=silent, bar_format=PROGRESS)


@contextmanager
def cancelled_by_ctrl_c(run: Run) -> Iterator[None]:
    """Let Ctrl-C end a run inside a step.

    Python handles signals between its own instructions only, and a network may run for minutes. A
    second thread hears of them at once.
    """
    ear, mouth = socket.socketpair()
    mouth.setblocking(False)

    def listen() -> None:
        while heard := ear.recv(1):
            if heard[0] == signal.SIGINT:
                run.cancel()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    before = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    try:
        yield
    except CancelledError as error:  # nobody else could have asked
        raise KeyboardInterrupt from error
    finally:
        signal.set_wakeup_fd(before)
        mouth.close()
        listener.join()
        ear.close()
