"""Charts drawn with matplotlib, as SVG for pages and as pictures: bars, scatter plots and lines."""

from sdrt.errors import MissingExtraError


def require_matplotlib() -> None:
    """Raise `MissingExtraError` where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "bench") from error
