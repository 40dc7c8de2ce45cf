"""The scenes say what they show: pictures, captions and checker agree."""

from dataclasses import replace

import numpy as np
import pytest

from sdrt_bench.scenes.captions import UNSTATED, caption
from sdrt_bench.scenes.checker import accuracy, check
from sdrt_bench.scenes.grammar import ATTRIBUTES, FUR, OBJECT_COLORS, Scene, sample_scene
from sdrt_bench.scenes.prompts import drawn, scene_prompts
from sdrt_bench.scenes.render import render


def scenes(count: int, seed: int) -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [sample_scene(rng) for _ in range(count)]


def test_a_seed_always_draws_the_same_picture() -> None:
    scene = scenes(1, seed=0)[0]
    first, second = (render(scene, np.random.default_rng(3)) for _ in range(2))
    assert first.shape == (128, 128, 3)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, render(scene, np.random.default_rng(4)))


def test_scenes_keep_to_the_grammar() -> None:
    for scene in scenes(500, seed=1):
        for name, values in ATTRIBUTES.items():
            assert getattr(scene, name) in (*values, "none")
        if scene.object != "none":
            assert scene.color in OBJECT_COLORS[scene.object]
        if scene.object == "boat":
            assert scene.ground == "sea"
        assert not (scene.color == "white" and scene.ground == "snow")


@pytest.mark.slow
def test_the_checker_reads_what_was_drawn() -> None:
    asked = scenes(120, seed=7)
    rng = np.random.default_rng(8)
    pictures = [render(scene, rng) for scene in asked]
    right = accuracy([check(*pair) for pair in zip(pictures, asked, strict=True)])
    assert right["all_attributes"] > 0.97
    assert right["whole_prompt"] > 0.92
    shuffled = pictures[1:] + pictures[:1]
    mismatched = accuracy([check(*pair) for pair in zip(shuffled, asked, strict=True)])
    assert mismatched["all_attributes"] < 0.35


@pytest.mark.slow
def test_the_checker_judges_only_what_is_stated() -> None:
    scene = replace(scenes(1, seed=2)[0], object="dog", color=FUR[0], ground="beach", time="day")
    picture = render(scene, np.random.default_rng(0))
    wrong = replace(scene, time="night", color="white")
    assert check(picture, wrong, ["ground", "side"]) == {"ground": True, "side": True}
    assert check(picture, wrong, ["time"]) == {"time": False}


def test_captions_state_what_they_report() -> None:
    rng = np.random.default_rng(5)
    for scene in scenes(300, seed=6):
        text, said = caption(scene, rng, noise=0.0)
        assert list(said) == list(ATTRIBUTES)
        for name, index in said.items():
            if index != UNSTATED[name]:
                assert ATTRIBUTES[name][index] == getattr(scene, name)
        is_named = said["color"] != UNSTATED["color"]
        if is_named and scene.color not in ("orange", "none"):
            assert scene.color in text


def test_words_without_a_meaning_change_no_statement() -> None:
    for seed, scene in enumerate(scenes(50, seed=9)):
        plain, said = caption(scene, np.random.default_rng(seed), noise=0.0)
        assert plain
        assert all(0 <= said[name] <= UNSTATED[name] for name in said)


def test_shares_are_of_what_was_asked() -> None:
    shares = accuracy([{"time": True, "color": False}, {"time": True}])
    assert shares == {
        "time": 1.0,
        "color": 0.0,
        "all_attributes": pytest.approx(2 / 3),
        "whole_prompt": 0.5,
    }


@pytest.mark.slow
def test_prompts_have_an_answer_that_pictures_of_their_scenes_give() -> None:
    prompts = scene_prompts(40)
    assert scene_prompts(10) == prompts[:10]
    for prompt in prompts:
        assert "object" in prompt.stated
        assert prompt.scene.object != "none"
    pictures = drawn(prompts)
    pairs = zip(prompts, pictures, strict=True)
    assert accuracy([prompt.judge(picture) for prompt, picture in pairs])["all_attributes"] > 0.95
    others = zip(prompts, pictures[1:] + pictures[:1], strict=True)
    assert accuracy([prompt.judge(picture) for prompt, picture in others])["all_attributes"] < 0.4
