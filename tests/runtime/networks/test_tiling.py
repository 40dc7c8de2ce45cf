"""Tiles of the VAE: the picture stays what it is, and the network never sees more than a tile."""

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt import machine
from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.errors import CancelledError, UsageError
from sdrt.generation.run import Run
from sdrt.networks.run_state import RunState
from sdrt.networks.tiling import Tiling, in_tiles, whole_context
from sdrt.pipeline import Pipeline
from sdrt.request.init_image import InitImage
from sdrt_bench.scenes.prompts import drawn, scene_prompts
from sdrt_bench.similarity import psnr_db
from tests.runtime.fakes import pretend_demo

SMALL = Tiling(tile=16, overlap=8, margin=2)
LARGE: dict[str, Any] = {"width": 1096, "height": 640, "num_inference_steps": 1, "seed": 3}


@pytest.mark.parametrize("length", [1, 16, 17, 23, 24, 25, 40, 97])
@pytest.mark.parametrize("scale", [1, 8])
def test_tiles_reach_every_latent_and_count_for_one_together(length: int, scale: int) -> None:
    starts, weights = SMALL.starts(length), SMALL.weights(length, scale)
    total = np.zeros(length * scale)
    for start, weight in zip(starts, weights, strict=True):
        assert 0 <= start <= max(0, length - 16)
        total[start * scale : (start + min(16, length)) * scale] += weight
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert all(before + 16 - after >= 8 for before, after in zip(starts, starts[1:], strict=False))


def test_where_a_tile_ends_inside_the_picture_it_does_not_count() -> None:
    first, *_, last = SMALL.weights(40, 8)
    assert (first[-2 * 8 :] == 0).all()
    assert (last[: 2 * 8] == 0).all()
    assert (first[:8] == 1).all()
    assert np.abs(np.diff(first)).max() < 0.06  # no step that could be seen


def doubled(given: Array) -> Array:
    """A network that looks one latent around itself, and makes 2x2 values of each."""
    padded = np.pad(given, ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = given.shape[2:]
    blurred = sum(padded[:, :, y : y + height, x : x + width] for y in range(3) for x in range(3))
    return np.asarray(blurred, np.float32).repeat(2, axis=2).repeat(2, axis=3)


@pytest.mark.parametrize("size", [(16, 16), (17, 40), (8, 33), (41, 9)])
def test_a_network_with_a_near_horizon_gives_the_same_in_tiles(size: tuple[int, int]) -> None:
    given = np.random.default_rng(0).standard_normal((1, 3, *size)).astype(np.float32)
    shapes = []

    def seen(part: Array) -> Array:
        shapes.append(part.shape)
        return doubled(part)

    joined = in_tiles(seen, given, SMALL, *size)
    np.testing.assert_allclose(joined, doubled(given), atol=1e-5)
    assert set(shapes) == {(1, 3, min(16, size[0]), min(16, size[1]))}


@pytest.mark.parametrize("size", [(17, 40), (8, 33), (50, 50), (1, 300), (400, 300)])
def test_copies_are_no_larger_than_a_tile(size: tuple[int, int]) -> None:
    large, small = SMALL.copies(*size)
    share = np.prod(large) / np.prod(SMALL.size(*size))
    assert 0.5 <= share <= 0.75
    assert all(1 <= less <= max(1, more / 2) for less, more in zip(small, large, strict=True))


def test_statistics_of_the_whole_are_told_from_its_copies() -> None:
    """Of a picture whose edges come nearer together as it is made smaller."""
    given = np.random.default_rng(2).standard_normal((1, 3, 100, 100)).astype(np.float32)

    def look(copy: Array) -> Mapping[str, Array]:
        assert np.isin(copy, given).all()
        scale = copy.shape[2] / 100
        return {"context_0_mean": np.array([5 + 3 / scale], np.float32)}

    context = whole_context(look, given, SMALL, 50, 50)
    np.testing.assert_allclose(context["context_0_mean"], 5 + 3, rtol=1e-6)


@pytest.fixture(scope="module")
def unlike() -> Array:
    """Two rows of three scenes that have nothing in common: what norms of tiles dislike most."""
    scenes = drawn(scene_prompts(6))
    pixels = np.concatenate([np.concatenate(list(scenes[i : i + 3]), axis=1) for i in (0, 3)])
    return InitImage(np.asarray(Image.fromarray(pixels).resize((416, 320)))[None], 1).tensor()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_the_embedded_model_makes_the_same_picture_in_tiles(
    unlike: Array, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Smaller tiles, so that a smaller picture does.
    monkeypatch.setattr(Tiling, "for_size", lambda height, width: Tiling(tile=40))
    pipe = sdrt.load(backend=backend, precision="fp32")
    whole, tiled = (
        pipe.encode_image(unlike, RunState(tiles_vae=is_tiled)) for is_tiled in (False, True)
    )
    (expected,) = pipe.decode(whole.mean)
    for latents, is_tiled in ((whole.mean, True), (tiled.mean, False)):
        (found,) = pipe.decode(latents, RunState(tiles_vae=is_tiled))
        assert psnr_db(expected, found, peak=2) >= 45


def test_each_picture_is_looked_at_as_a_whole_before_its_tiles(demo: Artifact) -> None:
    """By one network for all pictures, which then makes room for that of the tiles."""
    name, means = "context_0_mean", []

    def compute(network: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        latents = feeds["latent_sample"]
        if name in feeds:
            means.append((float(latents.mean()), float(feeds[name][0])))
        picture = latents[:, :3].repeat(8, axis=2).repeat(8, axis=3)
        return {"sample": picture, name: latents.mean(keepdims=True).ravel()}

    fake = FakeBackend(compute, contexts={"vae_decoder": (name,)})
    latents = np.ones((2, 4, 96, 160), np.float32) * demo.manifest.latent.scale
    latents[1] *= 2
    pictures = Pipeline(demo, fake).decode(latents, RunState(tiles_vae=True))
    assert fake.opened == ["vae_decoder", "vae_decoder"]
    np.testing.assert_allclose(means, [(1, 1), (1, 1), (2, 2), (2, 2)], rtol=1e-5)
    for value, picture in zip((1, 2), pictures, strict=True):
        np.testing.assert_allclose(picture, value, rtol=1e-5)


def watched(shapes: dict[str, set[tuple[int, ...]]]) -> Any:
    def see(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        for array in feeds.values():
            shapes.setdefault(name, set()).add(array.shape)
        if name == "vae_encoder":
            blocks = feeds["sample"][:, :, ::8, ::8]
            return {"latent_parameters": np.concatenate([blocks] * 3, axis=1)[:, :8]}
        return pretend_demo(name, feeds)

    return see


@pytest.mark.parametrize(
    ("size", "tile"),
    [
        ((80, 137), (80, 115)),  # of as many pixels as a square one has
        ((256, 256), (96, 96)),
        ((200, 64), (144, 64)),
        ((96, 65), (96, 65)),
        ((48, 144), (48, 144)),
    ],
)
def test_the_decoder_and_the_encoder_see_one_shape_whatever_the_size(
    demo: Artifact, size: tuple[int, int], tile: tuple[int, int]
) -> None:
    shapes: dict[str, set[tuple[int, ...]]] = {}
    pipe, (height, width) = Pipeline(demo, FakeBackend(watched(shapes))), size
    (picture,) = pipe.decode(np.ones((1, 4, height, width), np.float32), RunState(tiles_vae=True))
    assert picture.shape == (3, height * 8, width * 8)
    posterior = pipe.encode_image(picture[None], RunState(tiles_vae=True))
    assert posterior.mean.shape == (1, 4, height, width)
    pixels = tuple(side * 8 for side in tile)
    assert shapes == {"vae_decoder": {(1, 4, *tile)}, "vae_encoder": {(1, 3, *pixels)}}


def test_one_tile_is_the_untiled_picture(demo: Artifact) -> None:
    pipe = sdrt.load(backend="onnxruntime", precision="fp32")
    latents = np.random.default_rng(1).standard_normal((1, 4, 16, 24)).astype(np.float32)
    (whole,), (tiled,) = pipe.decode(latents), pipe.decode(latents, RunState(tiles_vae=True))
    np.testing.assert_array_equal(tiled, whole)


def test_cancelling_ends_the_work_inside_a_tile(demo: Artifact) -> None:
    runs: list[Run] = []

    def cancelled(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name == "vae_decoder" and fake.ran.count(name) == 2:
            asking = threading.Thread(target=runs[0].cancel)
            asking.start()
            asking.join()
        return pretend_demo(name, feeds)

    fake = FakeBackend(cancelled)
    runs.append(Pipeline(demo, fake).start("a boat", vae_tiling=True, **LARGE))
    with pytest.raises(CancelledError, match="image 1 of 1: vae_decoder was cancelled"):
        runs[0].result()
    assert fake.ran.count("vae_decoder") == 2


def test_tiles_are_taken_where_the_whole_would_not_fit(
    demo: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeBackend(pretend_demo, name="openvino", precision="fp32")
    pipe = Pipeline(demo, fake)
    (whole, tiled) = (
        pipe.start("a boat", vae_tiling=is_tiled, **LARGE).plan.peak() for is_tiled in (False, True)
    )
    assert whole[0] == "vae_decoder"
    between = (whole[1] + tiled[1]) // 2
    monkeypatch.setattr(machine, "memory_bytes", lambda: (10**11, between))
    result = pipe("a boat", **LARGE)
    assert any("the VAE works in tiles, because" in warning for warning in result.warnings)
    assert result.parameters[0].vae_tiling
    assert fake.ran.count("vae_decoder") > 1
    monkeypatch.setattr(machine, "memory_bytes", lambda: (10**11, 10**11))
    result = pipe("a boat", **LARGE)
    assert result.warnings == []
    assert not result.parameters[0].vae_tiling


def test_only_three_answers_are_an_answer(demo: Artifact) -> None:
    wrong: Any = "always"
    with pytest.raises(UsageError, match="vae_tiling is 'always'; expected True, False or 'auto'"):
        Pipeline(demo, FakeBackend(pretend_demo)).start("a boat", vae_tiling=wrong)
