"""The exceptions that sdrt raises on purpose, each with its exit code on the command line.

SdrtError                   1
├── UsageError              2   an argument, a prompt option or a config is wrong
├── ArtifactError           3   a model folder is missing, foreign, corrupt or incomplete
├── ParityError             4   an exported graph does not compute what torch computes
├── WriteError              5   disk full, or no permission to write
├── NonFiniteError          6   a network gave NaN or infinity
├── OutOfMemoryError        7
├── UnsupportedError        9   an architecture, precision or device that is not supported
│   └── MissingExtraError   9   a package is not installed
├── CancelledError         10
├── LockedError            12   another process is writing to the same place
└── RegressionError        13   a benchmark is slower than the one that it is compared with

A message says what was found, what was expected and what to do, in one or two sentences.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class SdrtError(Exception):
    """Base class of all exceptions that sdrt raises on purpose."""

    exit_code = 1


class UsageError(SdrtError):
    """An argument or a config is wrong; the message names it and what is allowed."""

    exit_code = 2

    def __init__(self, message: str, option: str | None = None) -> None:
        """`option` is the name of the option that is wrong, where it is a single one."""
        super().__init__(message)
        self.option = option


class ArtifactError(SdrtError):
    """A model folder cannot be used: missing, of another kind, corrupt or incomplete."""

    exit_code = 3


class ParityError(SdrtError):
    """An exported graph differs from torch by more than its precision explains."""

    exit_code = 4


class WriteError(SdrtError):
    """A file cannot be written: there is no space, or no permission."""

    exit_code = 5


class NonFiniteError(SdrtError):
    """A network gave NaN or infinity; the message names network, step and precision."""

    exit_code = 6


class OutOfMemoryError(SdrtError, MemoryError):
    """An engine could not allocate the memory that it needs."""

    exit_code = 7


class UnsupportedError(SdrtError):
    """An architecture, precision or device that sdrt or this machine does not support."""

    exit_code = 9


class MissingExtraError(UnsupportedError):
    """A package of an extra is not installed; the message has the command that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed; install it with: pip install 'sdrt[{extra}]'")


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Raise `MissingExtraError` where an import inside does not find a package."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), extra) from error


class CancelledError(SdrtError):
    """A run was cancelled."""

    exit_code = 10


class LockedError(SdrtError):
    """Another process is writing to the same place."""

    exit_code = 12


class RegressionError(SdrtError):
    """A new benchmark is worse than an old one by more than the allowed difference."""

    exit_code = 13
