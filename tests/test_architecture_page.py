"""The file trees of the documentation are those of the folders: each module has a line, and exists.

A tree is a fenced block ```` ```tree ````. Each line is a name, at least two spaces and a sentence;
two spaces of indentation per folder; folders end with a slash; `{hpp,cpp}` stands for two files.
`__init__.py` and `__main__.py` need no line.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [DOCS / "architecture.md", *sorted((DOCS / "internals").glob("files*.md"))]
ROOTS = {
    "runtime/sdrt": {".py"},
    "runtime/sdrt_server": {".py", ".js", ".css", ".html"},
    "export/sdrt_export": {".py"},
    "benchmarks/sdrt_bench": {".py"},
    "benchmarks/demo_model": {".py"},
    "runtime/cpp/src": {".cpp", ".hpp"},
    "runtime/cpp/host": {".cpp", ".hpp"},
    "runtime/cpp/include": {".h"},
}
WITHOUT_A_LINE = {"__init__.py", "__main__.py"}
TREE = re.compile(r"^```tree\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"(?P<indent> *)(?P<name>\S+)(?: {2,}(?P<text>\S.*))?")
TWINS = re.compile(r"(.*)\{(.+)\}(.*)")


def entries(tree: str) -> Iterator[tuple[PurePosixPath, bool, str]]:
    """Each path of a tree, whether it is a folder, and what is said about it."""
    folders: list[str] = []
    for line in tree.splitlines():
        match = LINE.fullmatch(line)
        assert match, f"no line of a tree: {line!r}"
        depth, odd = divmod(len(match["indent"]), 2)
        assert odd == 0, f"odd indentation: {line!r}"
        assert depth <= len(folders), f"too deep an indentation: {line!r}"
        del folders[depth:]
        name, text = match["name"], match["text"] or ""
        if name.endswith("/"):
            folders.append(name)
            yield PurePosixPath(*folders), True, text
            continue
        twins = TWINS.fullmatch(name)
        names = [f"{twins[1]}{end}{twins[3]}" for end in twins[2].split(",")] if twins else [name]
        for each in names:
            yield PurePosixPath(*folders, each), False, text


def documented() -> list[tuple[PurePosixPath, bool, str]]:
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    return [entry for text in texts for tree in TREE.findall(text) for entry in entries(tree)]


@pytest.mark.parametrize("root", ROOTS)
def test_every_module_of_a_root_has_a_line_in_a_tree(root: str) -> None:
    named = {str(path) for path, is_folder, _ in documented() if not is_folder}
    modules = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / root).rglob("*")
        if path.suffix in ROOTS[root] and path.name not in WITHOUT_A_LINE
    }
    assert modules
    assert modules - named == set()


def test_every_line_of_a_tree_is_a_file_or_a_folder() -> None:
    wrong = [
        str(path)
        for path, is_folder, _ in documented()
        if not ((ROOT / path).is_dir() if is_folder else (ROOT / path).is_file())
    ]
    assert wrong == []


def test_every_line_says_what_is_there_and_no_path_has_two() -> None:
    paths = [path for path, _, _ in documented()]
    assert len(paths) == len(set(paths))
    silent = [str(path) for path, _, text in documented() if not text and str(path) not in ROOTS]
    assert set(silent) <= {"runtime/cpp"}


def test_a_tree_is_read_line_by_line() -> None:
    tree = "a/b/\n  c/    folder c\n    d.{hpp,cpp}  twins\n  e.py  module\n"
    assert [(str(path), is_folder, text) for path, is_folder, text in entries(tree)] == [
        ("a/b", True, ""),
        ("a/b/c", True, "folder c"),
        ("a/b/c/d.hpp", False, "twins"),
        ("a/b/c/d.cpp", False, "twins"),
        ("a/b/e.py", False, "module"),
    ]
    with pytest.raises(AssertionError, match="too deep"):
        list(entries("a/\n      b.py  too deep\n"))
