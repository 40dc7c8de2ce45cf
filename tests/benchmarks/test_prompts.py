"""Prompts come from a file or from a list that fits the model."""

import sys
from pathlib import Path

import pytest

from sdrt.artifact import Artifact
from sdrt.errors import MissingExtraError, UsageError
from sdrt.manifest import Manifest, Source
from sdrt_bench.prompts import ORDINARY, Prompt, choose_prompts, paints_scenes
from sdrt_bench.scenes.prompts import drawn, scene_prompts


def another(manifest: Manifest, name: str, source: str) -> Manifest:
    return manifest.model_copy(update={"name": name, "source": Source(id=source)})


def test_prompts_of_a_file_have_no_known_answer(demo: Artifact, tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("a boat\n\na dog\n")
    assert choose_prompts(str(path), [demo.manifest], 128, 128) == [
        Prompt("a boat"),
        Prompt("a dog"),
    ]


def test_a_file_that_is_not_there_may_be_a_number(demo: Artifact, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file.*or a number"):
        choose_prompts(str(tmp_path / "none"), [demo.manifest], 128, 128)


@pytest.mark.slow
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
