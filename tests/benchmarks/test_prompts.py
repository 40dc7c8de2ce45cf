"""Prompts come from a file or from a list that fits the model."""

import sys
from pathlib import Path

import pytest

from sdrt.artifact import Artifact
from sdrt.errors import MissingExtraError, UsageError
from sdrt.manifest import Manifest, Source
from sdrt_bench.prompts import ORDINARY, Prompt, choose_prompts, paints_scenes, read_prompts
from sdrt_bench.scenes.prompts import drawn, scene_prompts


def another(manifest: Manifest, name: str, source: str) -> Manifest:
    return manifest.model_copy(update={"name": name, "source": Source(id=source)})


def test_lines_of_a_file_that_are_not_blank(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes("\ufeffa (red:1.3) boat\r\n\n  ein Bär\t\n".encode())
    assert read_prompts(path) == [Prompt("a (red:1.3) boat"), Prompt("ein Bär")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no prompt"),
        (b" \n\n", "holds no prompt"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "no text in UTF-8"),
        (b"a boat\x00\n", "no text in UTF-8"),
        (b"a" * 1_000_001, "more than 1000000 bytes"),
    ],
)
def test_a_file_without_prompts_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(UsageError, match=words):
        read_prompts(tmp_path / "x")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file.*or a number"):
        read_prompts(tmp_path / "none")
    with pytest.raises(UsageError, match="Is a directory"):
        read_prompts(tmp_path)


def test_the_embedded_model_and_its_descendants_are_asked_for_scenes(demo: Artifact) -> None:
    ours = demo.manifest
    assert paints_scenes(ours)
    assert paints_scenes(another(ours, "int8", "demo"))
    assert not paints_scenes(another(ours, "sd15", "sd15"))
    expected = scene_prompts(5)
    chosen = choose_prompts("5", [ours, ours], 128, 128)
    assert [prompt.text for prompt in chosen] == [prompt.text for prompt in expected]
    for prompt, scene, picture in zip(chosen, expected, drawn(expected), strict=True):
        assert prompt.judge is not None
        assert prompt.judge(picture) == scene.judge(picture)


def test_other_sizes_than_the_checkers_are_not_judged(demo: Artifact) -> None:
    (prompt,) = choose_prompts("1", [demo.manifest] * 2, 128, 192)
    assert prompt.judge is None


def test_other_models_are_asked_for_ordinary_things(demo: Artifact) -> None:
    models = [demo.manifest, another(demo.manifest, "sd15", "sd15")]
    chosen = choose_prompts("2", models, 128, 128)
    assert chosen == [Prompt(text) for text in ORDINARY[:2]]
    with pytest.raises(UsageError, match=f"from 1 to {len(ORDINARY)}"):
        choose_prompts("1000", models, 128, 128)
    with pytest.raises(UsageError, match="number of prompts is 0"):
        choose_prompts("0", [demo.manifest] * 2, 128, 128)


def test_the_remedy_is_named_where_the_checker_cannot_be_imported(
    demo: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    for name in ("checker", "prompts"):
        monkeypatch.delitem(sys.modules, f"sdrt_bench.scenes.{name}", raising=False)
    with pytest.raises(MissingExtraError, match=r"scipy is not installed.*sdrt\[bench\]"):
        choose_prompts("1", [demo.manifest] * 2, 128, 128)
