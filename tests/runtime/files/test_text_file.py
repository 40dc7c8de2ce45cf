"""Small text files: what is read, and the one sentence about what is not."""

import os
import threading
from pathlib import Path

import pytest

from sdrt.errors import ArtifactError, UsageError
from sdrt.files.text_file import read_text


def test_a_file_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes("ä€".encode())
    assert read_text(tmp_path / "x", "a list", max_bytes=5) == "ä€"
    with pytest.raises(ArtifactError, match="x has more than 4 bytes: this is not a list"):
        read_text(tmp_path / "x", "a list", max_bytes=4, error=ArtifactError)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "cannot read .*none: No such file or directory$"),
        (".", "cannot read .*: Is a directory$"),
        ("latin-1", "cannot read .*latin-1: it is not text in UTF-8$"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "latin-1").write_bytes("ä".encode("latin-1"))
    with pytest.raises(UsageError, match=message):
        read_text(tmp_path / name, "a list")


def test_no_more_than_the_limit_is_read_where_a_size_says_nothing(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # its size is 0, however much comes out of it

    def write() -> None:
        with pipe.open("wb") as file:
            file.write(b"x" * 100)

    writer = threading.Thread(target=write)
    writer.start()
    with pytest.raises(UsageError, match="more than 10 bytes"):
        read_text(pipe, "a list", max_bytes=10)
    writer.join()
