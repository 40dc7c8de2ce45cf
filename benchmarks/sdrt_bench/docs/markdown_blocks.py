"""Blocks of Markdown files that a program writes, between two comments that no reader sees."""

from pathlib import Path

from sdrt.errors import UsageError


def markers(name: str) -> tuple[str, str]:
    """Give both comments around a block."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def block_content(text: str, name: str) -> str:
    """Give the content of a block; raises `UsageError` where there is none of that name."""
    return _parts(text, name)[1]


def with_marked(text: str, name: str, content: str) -> str:
    """Replace the content of a block; raises `UsageError` where there is none of that name."""
    begin, end = markers(name)
    before, _, after = _parts(text, name)
    return f"{before}{begin}\n\n{content}\n{end}{after}"


def _parts(text: str, name: str) -> tuple[str, str, str]:
    begin, end = markers(name)
    before, opened, rest = text.partition(begin)
    content, closed, after = rest.partition(end)
    if not opened or not closed:
        raise UsageError(f"no place for the table; put it between lines {begin} and {end}")
    return before, content, after


def read_document(path: Path) -> str:
    """Read a file of text; raises `UsageError`."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
