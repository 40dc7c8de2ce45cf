"""Parts of Markdown files that a program writes, between two comments that no reader sees."""

from pathlib import Path

from sdrt.errors import UsageError


def markers(name: str) -> tuple[str, str]:
    """The two comments."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def marked(text: str, name: str) -> str:
    """The content between the markers of that name; raises `UsageError` without."""
    return _parts(text, name)[1]


def with_marked(text: str, name: str, content: str) -> str:
    """The text with another content there; raises `UsageError` without the markers."""
    begin, end = markers(name)
    before, _, after = _parts(text, name)
    return f"{before}{begin}\n\n{content}\n{end}{after}"


def _parts(text: str, name: str) -> tuple[str, str, str]:
    begin, end = markers(name)
    before, found, rest = text.partition(begin)
    content, closed, after = rest.partition(end)
    if not found or not closed:
        raise UsageError(f"no place for the table; put it between lines {begin} and {end}")
    return before, content, after


def read_document(path: Path) -> str:
    """The text of such a file; raises `UsageError`."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
