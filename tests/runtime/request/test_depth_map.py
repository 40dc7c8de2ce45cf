"""Depth maps: how they are read and fitted, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from sdrt.artifact import Artifact
from sdrt.cli.main import cli
from sdrt.errors import UnsupportedError, UsageError
from sdrt.manifest import Manifest
from sdrt.request.depth_map import open_depth_map
from sdrt.request.resolve import resolve

HEIGHT, WIDTH = 80, 64


def hill(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.asarray(60_000 - 500 * np.hypot(rows - 30, columns - 20))


def with_channels(manifest: Manifest, channels: int) -> Manifest:
    """The manifest of a model whose U-Net takes so many channels."""
    unet = manifest.graphs["unet"]
    inputs = [
        spec.model_copy(update={"shape": (spec.shape[0], channels, *spec.shape[2:])})
        if spec.name == "sample"
        else spec
        for spec in unet.inputs
    ]
    graph = unet.model_copy(update={"inputs": tuple(inputs)})
    return manifest.model_copy(update={"graphs": {**manifest.graphs, "unet": graph}})


@pytest.fixture
def depth_model(tiny: Artifact) -> Manifest:
    return with_channels(tiny.manifest, 5)


def test_all_kinds_of_maps_say_the_same(tmp_path: Path) -> None:
    values = hill().astype(np.uint16)
    np.save(tmp_path / "map.npy", values)
    picture = Image.fromarray(values)
    picture.save(tmp_path / "map.png")
    expected = values.astype(np.float32)
    given: list[Any] = [values, values[None], expected, picture, tmp_path / "map.png"]
    for depth in [*given, str(tmp_path / "map.npy"), values.tolist()]:
        np.testing.assert_array_equal(open_depth_map(depth).values, expected)
    coarse = Image.fromarray((values // 257).astype(np.uint8))
    found = open_depth_map(coarse).latents(10, 8)
    np.testing.assert_allclose(found, open_depth_map(values).latents(10, 8), atol=0.02)


def test_the_least_value_is_minus_one_and_the_greatest_one() -> None:
    ramp = np.tile(np.linspace(-3.0, 40.0, WIDTH), (HEIGHT, 1))
    channel = open_depth_map(ramp).latents(10, 8)
    assert channel.shape == (1, 1, 10, 8)
    assert channel.dtype == np.float32
    assert (channel[0, 0, 0, 0], channel[0, 0, -1, -1]) == (-1, 1)
    np.testing.assert_allclose(np.diff(channel, axis=3), 2 / 7, atol=1e-5)


def test_a_map_is_cut_on_both_sides_as_an_image_is() -> None:
    wide = np.zeros((100, 300))
    wide[:, 100:200] = np.linspace(1, 2, 100)
    np.testing.assert_allclose(
        open_depth_map(wide).latents(8, 8)[..., 1:-1],
        open_depth_map(wide[:, 100:200]).latents(8, 8)[..., 1:-1],
        atol=0.05,
    )
    assert (open_depth_map(wide).latents(8, 8)[0, 0, 0, 1:-1] > -1).all()  # the middle third alone


def test_the_size_of_a_run_is_the_maps_or_the_one_that_is_given(depth_model: Manifest) -> None:
    own = resolve(depth_model, "a", {"depth": hill(131, 94)})
    assert (own.width, own.height, own.init) == (88, 128, None)
    given = resolve(depth_model, "a", {"depth": hill(), "width": 128, "height": 64})
    assert (given.width, given.height) == (128, 64)


GREY = Image.fromarray(hill().astype(np.uint16))
NAN = np.where(hill() > 50_000, np.nan, hill())
CORNER = np.zeros((64, 640))
CORNER[:, :8] = 1

BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "paints over a depth map; give one as depth .--depth.$"),
    ({"depth": "no.png"}, "there is no depth map no.png"),
    ({"depth": Image.new("RGB", (64, 64))}, "has pixels of the kind 'RGB'; expected a grey pict"),
    ({"depth": np.zeros((4, 64, 64))}, r"is an array of float64 of the shape \(4, 64, 64\); exp"),
    ({"depth": np.zeros((64, 64), bool)}, "is an array of bool of the shape"),
    ({"depth": [["near", "far"]]}, "is an array of <U4 of the shape"),
    ({"depth": hill(4, 64)}, "the depth map is 64x4 pixels; expected sides from 8 to 16384"),
    ({"depth": NAN}, "the depth map has NaN or infinity; expected finite numbers"),
    ({"depth": hill() * 1e300}, "the depth map has NaN or infinity"),
    ({"depth": np.full((64, 64), 7)}, "the depth map is 7 everywhere, which says nothing about"),
    (
        {"depth": CORNER, "width": 64, "height": 64},
        "the depth map is 0 everywhere in the part that is painted",
    ),
    ({"depth": GREY, "width": 64}, "with a depth map, give both width and height, or neither for"),
    ({"depth": hill(8, 9)}, "the depth map is 9x8 pixels, and sides from 64 to 4096 can be paint"),
    (
        {"depth": GREY, "image": Image.new("RGB", (WIDTH, WIDTH))},
        "the depth map is 64x80 pixels and the image 64x64; expected both of one size",
    ),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_what_is_no_map_of_the_picture_is_refused(
    depth_model: Manifest, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(depth_model, "a", options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "content"),
    [("cut.npy", b"\x93NUMPY\x01\x00"), ("empty.npy", b""), ("text.png", b"near"), (".", b"")],
)
def test_files_that_are_no_maps_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    if content or name != ".":
        path.write_bytes(content)
    with pytest.raises(UsageError, match="cannot read the depth map .*; expected a grey picture"):
        open_depth_map(path)


def test_a_pickled_array_is_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "evil.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(UsageError, match="cannot read the depth map .*evil.npy"):
        open_depth_map(tmp_path / "evil.npy")


def test_other_models_take_no_map(tiny: Artifact) -> None:
    for channels in (4, 8, 9):
        manifest = with_channels(tiny.manifest, channels)
        picture = Image.new("RGB", (64, 64), "red")
        options: dict[str, Any] = {"image": picture} if channels > 4 else {}
        options |= {"mask": Image.new("L", (64, 64), "white")} if channels == 9 else {}
        with pytest.raises(UsageError, match="depth was given, and 'tiny' takes no depth map; lea"):
            resolve(manifest, "a", {**options, "depth": GREY})  # type: ignore[typeddict-item]
    with pytest.raises(UnsupportedError, match="takes 3 channels besides .* none, 1 of a depth mo"):
        resolve(with_channels(tiny.manifest, 7), "a", {})


def test_the_command_line_passes_a_map_on(tiny: Artifact, tmp_path: Path) -> None:
    np.save(tmp_path / "map.npy", hill())
    words = ["generate", "a", "-m", str(tiny.root), "--depth", str(tmp_path / "map.npy")]
    with pytest.raises(UsageError, match="takes no depth map"):
        CliRunner().invoke(cli, words, catch_exceptions=False)
