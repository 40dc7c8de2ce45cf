"""The commands `sdrt export`, `sdrt models` and `optimum-cli export sdrt`."""

from collections.abc import Iterator
from contextlib import contextmanager

from sdrt.errors import MissingExtraError


@contextmanager
def export_extra() -> Iterator[None]:
    """Raise `MissingExtraError` where an import inside does not find a package."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "export") from error
