"""Styles put words around prompts; what a picture remembers makes it again without them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt.errors import UsageError
from sdrt.text.styles import Style, find_style, known_styles, read_styles

FAST: dict[str, Any] = {"num_inference_steps": 2, "seed": 3, "width": 64, "height": 64}


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def pipe() -> sdrt.Pipeline:
    return sdrt.load(backend="onnxruntime")


def test_names_that_people_know_are_there() -> None:
    expected = {
        *("3d-model", "analog-film", "anime", "cinematic", "comic-book", "digital-art"),
        *("enhance", "fantasy-art", "isometric", "line-art", "low-poly", "modeling-compound"),
        *("neon-punk", "origami", "photographic", "pixel-art", "tile-texture", "watercolor"),
    }
    assert expected <= set(known_styles())


@pytest.mark.parametrize("style", known_styles().values(), ids=list(known_styles()))
def test_each_style_takes_a_prompt_once_and_fits_a_chunk(style: Style) -> None:
    prompt, negative = style.apply("a boat", "fog")
    assert prompt.count("a boat") == 1
    assert "{" not in prompt + negative
    assert negative.startswith("fog, ")
    assert max(len(text.split()) for text in (prompt, negative)) < 40


@pytest.mark.parametrize(
    ("template", "text", "expected"),
    [
        ("oil painting of {prompt}, thick", "a boat", "oil painting of a boat, thick"),
        ("thick paint", "a boat ", "a boat, thick paint"),
        ("thick paint", "", "thick paint"),
        ("", "a boat", "a boat"),
        ("{prompt} and {prompt}", "x", "x and x"),
        ("{prompt}, ink", "a {prompt} {0} {name} %s", "a {prompt} {0} {name} %s, ink"),
        ("{prompt}, {size} ink", "a boat", "a boat, {size} ink"),
    ],
)
def test_templates(template: str, text: str, expected: str) -> None:
    style = Style(name="x", prompt=template, negative_prompt=template)
    assert style.apply(text, text) == (expected, expected)


@pytest.mark.parametrize("name", ["analog-film", "Analog Film", "ANALOG_FILM", " analog  film "])
def test_names_may_be_spelled_in_many_ways(name: str) -> None:
    assert find_style(name).name == "analog-film"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("cinematik", "did you mean 'cinematic'"), ("comic", "'comic-book'"), ("qqq", "known: cinem")],
)
def test_an_unknown_style_is_refused_with_the_nearest_names(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"unknown style '{name}'; known: .*") as caught:
        find_style(name)
    assert hint in str(caught.value)


def test_the_parameters_hold_the_whole_prompt_and_make_the_picture_again(
    pipe: sdrt.Pipeline,
) -> None:
    made = pipe("a boat", negative_prompt="fog", style="watercolor", **FAST)
    (parameters,) = made.parameters
    assert parameters.style == "watercolor"
    assert parameters.prompt.startswith("watercolor painting of a boat, ")
    assert parameters.negative_prompt.startswith("fog, photograph, ")
    assert parameters.to_a1111().startswith(parameters.prompt)
    again = pipe(parameters.prompt, negative_prompt=parameters.negative_prompt, **FAST)
    plain = pipe("a boat", negative_prompt="fog", **FAST)
    np.testing.assert_array_equal(np.asarray(made.images[0]), np.asarray(again.images[0]))
    assert np.any(np.asarray(made.images[0]) != np.asarray(plain.images[0]))
    assert plain.parameters[0].style is None


def test_a_style_of_ones_own(pipe: sdrt.Pipeline) -> None:
    own = Style(name="mine", prompt="(blue:1.2) {prompt}")
    request = pipe.start("boat", style=own).request
    assert (request.prompt, request.negative_prompt, request.style) == (
        *("(blue:1.2) boat", "", "mine"),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style": "watercolour"}, "unknown style 'watercolour'.*did you mean 'watercolor'"),
        ({"style": 3}, "style is 3; expected a name, see: sdrt styles"),
        (
            {"style": "anime", "negative_prompt_embeds": np.zeros((77, 128))},
            "style 'anime' puts words around a prompt, and negative_prompt_embeds was given",
        ),
    ],
)
def test_a_style_that_cannot_be_is_refused(
    pipe: sdrt.Pipeline, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        pipe.start("a boat", **options)


def test_a_file_of_styles(tmp_path: Path) -> None:
    given = [{"name": "Öl", "prompt": "{prompt}, Öl"}, {"name": "b", "prompt": "b"}]
    styles = read_styles(write(tmp_path / "styles.json", given))
    assert list(styles) == ["Öl", "b"]
    assert find_style("öl", styles).apply("Boot", "x") == ("Boot, Öl", "x")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b"\xff\xfe", "cannot read"),
        (b"{}", "the file: .*expected a list of name, prompt and negative_prompt"),
        (b'[{"name": "x"}]', "0.prompt: field required"),
        (b'[{"name": "x", "prompt": 3}]', "0.prompt: input should be a valid string"),
        (b'[{"name": "", "prompt": "x"}]', "0.name: string should have at least 1 character"),
        (b'[{"name": "x", "prompt": "x", "negative": "x"}]', "0.negative: extra inputs"),
        (b'[{"name": "A b", "prompt": "x"}, {"name": "a-B", "prompt": "y"}]', "two styles of the"),
        (b" " * 1_000_001, "has more than 1000000 bytes"),
        (None, "cannot read"),
    ],
    ids=range(11),
)
def test_a_broken_file_of_styles_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "styles.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_styles(path)
    assert str(path) in str(caught.value)
