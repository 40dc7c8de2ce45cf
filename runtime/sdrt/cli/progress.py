"""The progress bar of a run, and a listener for Ctrl-C."""

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
    """The steps of a run, with a bar if standard error is a terminal."""
    silent = quiet or not sys.stderr.isatty()
    yield from tqdm(run, "step", len(run), leave=False, disable=silent, bar_format=PROGRESS)


@contextmanager
def cancelled_by_ctrl_c(run: Run) -> Iterator[None]:
    """Let Ctrl-C end a run inside a step.

    Python handles signals only between its own instructions, and a network may run for minutes.
    Its signal handler writes each signal's number to a socket, so a second thread that reads
    it learns of the signal at once.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def listen() -> None:
        while received := reader.recv(1):
            if received[0] == signal.SIGINT:
                run.cancel()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield
    except CancelledError as error:  # only the listener cancels this run
        raise KeyboardInterrupt from error
    finally:
        signal.set_wakeup_fd(before)
        writer.close()
        listener.join()
        reader.close()
