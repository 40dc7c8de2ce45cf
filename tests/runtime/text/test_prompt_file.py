"""Lists of prompts are text files with one prompt a line."""

from pathlib import Path

import pytest

from sdrt.errors import UsageError
from sdrt.text.prompt import read_prompts


def test_lines_of_a_file_that_are_not_blank(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes("\ufeffa (red:1.3) boat\r\n\n  ein Bär\t\n".encode())
    assert read_prompts(path, "none") == ("a (red:1.3) boat", "ein Bär")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no prompt"),
        (b" \n\n", "holds no prompt"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "not text in UTF-8; give .*, or none"),
        (b"a boat\x00\n", "is not text; expected one"),
        (b"a\x00b", "is not text; expected one"),
        (b"a" * 1_000_001, "more than 1000000 bytes"),
    ],
)
def test_a_file_without_prompts_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(UsageError, match=words):
        read_prompts(tmp_path / "x", "none")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file.*or a number"):
        read_prompts(tmp_path / "none", "a number of built-in prompts")
    with pytest.raises(UsageError, match="Is a directory"):
        read_prompts(tmp_path, "none")
