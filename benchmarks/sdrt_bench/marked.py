"""Parts of Markdown files that a program writes, between two comments that no reader sees."""

from pathlib import Path

from sdrt.errors import UsageError


def markers(name: str) -> tuple[str, str]:
    """The two comments."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def with_marked(text: str, name: str, content: str) -> str:
    """The text with the content between the markers of that name; raises `UsageError` without."""
    begin, end = markers(name)
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise UsageError(f"no place for the table; put it between lines {begin} and {end}")
    return f"{before}{begin}\n\n{content}\n{end}{after}"


def read_document(path: Path) -> str:
    """The text of such a file; raises `UsageError`."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
