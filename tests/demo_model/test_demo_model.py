"""The training material says what it shows: pictures, captions, checker and tokenizer agree."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from demo_model.captions import NOT_SAID, caption
from demo_model.checker import CHECKED, accuracy, check
from demo_model.render import render
from demo_model.restore import restore
from demo_model.scenes import ATTRIBUTES, FUR, OBJECT_COLORS, Scene, sample_scene
from demo_model.tokenizer import build_tokenizer
from demo_model.training import cosine_rate, draw_pictures
from sdrt.artifact import Artifact
from sdrt.backends import open_backend
from sdrt.measure import snr_db
from sdrt.verify import seeded_feeds
from sdrt_export.checkpoint import FolderCheckpoint
from sdrt_export.networks import networks


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


def test_the_checker_reads_what_was_drawn() -> None:
    drawn = scenes(120, seed=7)
    rng = np.random.default_rng(8)
    pictures = [render(scene, rng) for scene in drawn]
    everything = [CHECKED] * len(drawn)
    right = accuracy(pictures, drawn, everything)
    assert right["all_attributes"] > 0.97
    assert right["whole_prompt"] > 0.92
    mismatched = accuracy(pictures[1:] + pictures[:1], drawn, everything)
    assert mismatched["all_attributes"] < 0.35


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
            if index != NOT_SAID[name]:
                assert ATTRIBUTES[name][index] == getattr(scene, name)
        is_named = said["color"] != NOT_SAID["color"]
        if is_named and scene.color not in ("orange", "none"):
            assert scene.color in text


def test_words_without_a_meaning_change_no_statement() -> None:
    for seed, scene in enumerate(scenes(50, seed=9)):
        plain, said = caption(scene, np.random.default_rng(seed), noise=0.0)
        assert plain
        assert all(0 <= said[name] <= NOT_SAID[name] for name in said)


def test_every_word_of_the_captions_is_one_token_and_unknown_ones_fall_apart(
    tmp_path: Path,
) -> None:
    tokenizer = build_tokenizer(tmp_path, captions=3000)
    assert tokenizer.tokenize("a red boat at sunset") == [
        *("a</w>", "red</w>", "boat</w>", "at</w>", "sunset</w>")
    ]
    assert len(tokenizer.tokenize("zyxwv")) > 1
    ids = tokenizer("a red boat").input_ids
    assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert "tokenizer.json" in {path.name for path in tmp_path.iterdir()}


def test_drawing_in_parallel_is_reproducible() -> None:
    pictures, drawn = draw_pictures(500, seed=3)
    again, _ = draw_pictures(500, seed=3)
    assert pictures.shape == (500, 128, 128, 3)
    assert len(drawn) == 500
    np.testing.assert_array_equal(pictures, again)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.01), (99, 1.0), (1000, 0.02), (5000, 0.02)])
def test_the_learning_rate_rises_and_falls(step: int, expected: float) -> None:
    assert cosine_rate(step, 1000, peak=1.0, warmup=100) == pytest.approx(expected, rel=0.03)


def test_the_embedded_model_is_read_back_into_torch(demo: Artifact, tmp_path: Path) -> None:
    """The folder that training goes on from computes what the artifact computes."""
    restore(demo, tmp_path)
    checkpoint = FolderCheckpoint.open(tmp_path)
    assert checkpoint.latent.scale == demo.manifest.latent.scale
    backend = open_backend("onnxruntime")
    for network in networks(checkpoint):
        feeds = seeded_feeds(demo, network.name)
        output = demo.manifest.graphs[network.name].outputs[0].name
        found = backend.open(demo.network(network.name, backend.formats)).run(feeds)[output]
        with torch.no_grad():
            expected = network.module(**{n: torch.from_numpy(a) for n, a in feeds.items()})
        expected = expected[0] if isinstance(expected, tuple) else expected
        assert snr_db(expected.numpy(), found) > 100
