"""README and the pages of `docs`: links that lead somewhere, an index of every page, few lines;
commands, options and names that exist."""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from sdrt.cli.main import cli

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README, INDEX = ROOT / "README.md", DOCS / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
README_LINES, PAGE_LINES = 120, 200
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MODULE = re.compile(r"python -m ((?:sdrt|sdrt_export|sdrt_bench|demo_model)[\w.]*)")
HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)


def prose(page: Path) -> str:
    """The text of a page without its blocks of code."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> Iterator[str]:
    """The targets of links and images that are not on the web."""
    for target in LINK.findall(re.sub(r"\s+", " ", prose(page))):
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """The fragments by which GitHub knows the headings of a page."""
    slugs: set[str] = set()
    for heading in HEADING.findall(prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in slugs:
            number += 1
        slugs.add(name)
    return slugs


def broken(page: Path) -> list[str]:
    """The relative links of a page that lead to no file, folder or heading."""
    wrong = []
    for target in links(page):
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or not file.is_relative_to(ROOT):
            wrong.append(target)
        elif fragment and (file.suffix != ".md" or fragment not in anchors(file)):
            wrong.append(target)
    return wrong


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert broken(page) == []


def test_a_broken_link_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_docs.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "# It: `--this` and that\n\n## Twice\n\n## Twice\n\n"
        "[a](page.md#it---this-and-that) [b](#twice-1) [c\nd](https://example.org/x) ![e](e.png)\n"
        "[f](other.md) [g](#twice-2) [h](../outside.md)\n\n```text\n[i](nowhere.md)\n```\n"
    )
    assert broken(page) == ["e.png", "other.md", "#twice-2", "../outside.md"]


def test_the_index_names_every_page() -> None:
    named = {(DOCS / target.partition("#")[0]).resolve() for target in links(INDEX)}
    missing = [name(page) for page in DOCS.rglob("*.md") if page != INDEX and page not in named]
    assert missing == []


def test_readme_leads_to_the_index() -> None:
    assert "docs/README.md" in list(links(README))


def test_every_picture_of_the_documentation_is_shown() -> None:
    shown = {(page.parent / target).resolve() for page in PAGES for target in links(page)}
    pictures = [path for path in (DOCS / "images").iterdir() if path.suffix == ".png"]
    assert pictures
    assert [name(path) for path in pictures if path not in shown] == []


def test_readme_and_pages_are_short() -> None:
    lengths = {name(page): len(page.read_text(encoding="utf-8").splitlines()) for page in PAGES}
    assert lengths.pop("README.md") <= README_LINES
    long = {page: count for page, count in lengths.items() if count > PAGE_LINES}
    assert set(long) <= {"CHANGELOG.md"}


def test_pages_that_the_code_names_exist() -> None:
    named = re.compile(r"docs/[\w/.-]*?\.md")
    sources = [
        path
        for folder in ("runtime", "export", "benchmarks")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".cpp", ".hpp", ".h", ".sh", ".yaml", ".json")
        and "results" not in path.parts
    ]
    assert len(sources) > 200
    for path in [*sources, ROOT / "Makefile", ROOT / "pyproject.toml"]:
        for page in named.findall(path.read_text(encoding="utf-8")):
            assert (ROOT / page).is_file(), f"{name(path)} names {page}"


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of code in a language."""
    text = page.read_text(encoding="utf-8")
    return [code for name, code in BLOCK.findall(text) if name == language]


def test_python_in_the_documentation_imports_what_exists() -> None:
    imported = 0
    for page in PAGES:
        for code in blocks(page, "python"):
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("sdrt"):
                    module = import_module(str(node.module))
                    for alias in node.names:
                        assert hasattr(module, alias.name), f"{name(page)}: {ast.unparse(node)}"
                        imported += 1
    assert imported > 3


def test_modules_that_the_documentation_runs_exist() -> None:
    pages = [*PAGES, ROOT / "benchmarks" / "demo_model" / "README.md"]
    named = {(page, path) for page in pages for path in MODULE.findall(page.read_text("utf-8"))}
    assert named
    for page, path in named:
        files = [
            ROOT / root / f"{path.replace('.', '/')}{ending}"
            for root in ("runtime", "export", "benchmarks")
            for ending in (".py", "/__main__.py")
        ]
        assert any(file.is_file() for file in files), f"{name(page)} runs {path}"


@pytest.fixture(scope="module")
def commands() -> dict[str, click.Command]:
    """The commands of `sdrt`, those of the other packages too, by their names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    subcommands = dict(cli.commands)
    for command, place in project["entry-points"]["sdrt.commands"].items():
        module, _, function = place.partition(":")
        subcommands[command] = getattr(import_module(module), function)
    return subcommands


def called(page: Path) -> Iterator[list[str]]:
    """The words of each `sdrt` command that a page shows."""
    for code in blocks(page, "console"):
        for line in code.replace("\\\n", " ").splitlines():
            if line.startswith("$ sdrt "):
                yield shlex.split(line.removeprefix("$ sdrt "), comments=True)


def test_commands_in_the_documentation_have_the_options_that_they_are_given(
    commands: dict[str, click.Command],
) -> None:
    lines = [(page, words) for page in PAGES for words in called(page)]
    assert len(lines) > 50
    for page, (command, *words) in lines:
        known = {
            option
            for parameter in commands[command].params
            for option in (*parameter.opts, *parameter.secondary_opts)
        } | {"--help"}
        given = {word.partition("=")[0] for word in words if re.match("-[-a-zA-Z]", word)}
        assert given <= known, f"{name(page)}: sdrt {command} {given - known}"
