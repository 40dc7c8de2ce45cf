"""What the server refuses, besides the errors of the runtime."""

from sdrt.errors import SdrtError, UsageError


class QueueFullError(SdrtError):
    """As many jobs are waiting as may wait."""

    def __init__(self, waiting: int, seconds: int) -> None:
        super().__init__(
            f"{waiting} jobs are waiting already, which is as many as may wait; try again in about "
            f"{seconds} s"
        )
        self.seconds = seconds


class StoppingError(SdrtError):
    """The server is about to stop."""

    def __init__(self) -> None:
        super().__init__("the server is stopping and makes no more pictures")


class JobTimeoutError(SdrtError):
    """A job ran for longer than it may."""


class UnknownJobError(SdrtError):
    """There is no such job, or it was forgotten."""

    def __init__(self, id: str) -> None:
        super().__init__(f"there is no job {id[:40]!r}; finished jobs are forgotten after a while")


class UnknownModelError(UsageError):
    """The server has no model of that name."""


class InternalError(SdrtError):
    """A mistake in sdrt itself, whose details are in the server's log."""

    def __init__(self, id: str) -> None:
        super().__init__(
            f"the job failed by a mistake in sdrt; the server's log has it under the id {id}"
        )
