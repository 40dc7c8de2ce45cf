"""OpenAI's own client, and the requests that other programs send to its API."""

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types import ImagesResponse
from PIL import Image

from sdrt.images.png import png_bytes
from sdrt.pipeline import Pipeline

FEW: dict[str, Any] = {"num_inference_steps": 3, "seed": 7}


@pytest.fixture
def client(real_server: str) -> Iterator[OpenAI]:
    url = f"{real_server}/v1"
    with OpenAI(base_url=url, api_key="any", max_retries=0, timeout=60) as client:
        yield client


def contents(answer: ImagesResponse) -> list[bytes]:
    """The files of an answer."""
    assert answer.data
    return [base64.b64decode(each.b64_json or "") for each in answer.data]


def as_file(image: Image.Image, name: str = "image.png") -> tuple[str, bytes, str]:
    return name, png_bytes(image), "image/png"


def test_a_picture_is_the_one_that_the_pipeline_makes(client: OpenAI, real_pipe: Pipeline) -> None:
    answer = client.images.generate(model="tiny", prompt="a red boat", n=2, extra_body=FEW)
    result = real_pipe("a red boat", num_images_per_prompt=2, **FEW)
    assert contents(answer) == list(map(png_bytes, result.images, result.parameters))
    assert (answer.size, answer.output_format, answer.background) == ("64x64", "png", "opaque")
    assert answer.created


@pytest.mark.parametrize("model", ["dall-e-3", "gpt-image-1", "gpt-image-1-mini"])
def test_openai_s_own_models_stand_for_the_default(client: OpenAI, model: str) -> None:
    answer = client.images.generate(model=model, prompt="x", size="64x72", extra_body=FEW)
    assert Image.open(io.BytesIO(contents(answer)[0])).size == (64, 72)


def test_formats_and_urls(client: OpenAI) -> None:
    jpeg = client.images.generate(
        prompt="x", output_format="jpeg", output_compression=50, extra_body=FEW
    )
    assert Image.open(io.BytesIO(contents(jpeg)[0])).format == "JPEG"
    linked = client.images.generate(
        prompt="x", response_format="url", output_format="webp", extra_body=FEW
    )
    assert linked.data
    fetched = httpx.get(str(linked.data[0].url))
    assert fetched.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(fetched.content)).format == "WEBP"


def test_a_stream_has_partial_pictures_and_ends_with_the_finished_one(client: OpenAI) -> None:
    events = list(
        client.images.generate(
            prompt="a red boat",
            stream=True,
            partial_images=2,
            extra_body={"num_inference_steps": 12, "seed": 7},
        )
    )
    *partial, last = events
    assert all(event.type == "image_generation.partial_image" for event in partial)
    assert last.type == "image_generation.completed"
    assert last.usage.total_tokens == 0
    whole = client.images.generate(
        prompt="a red boat", extra_body={"num_inference_steps": 12, "seed": 7}
    )
    assert base64.b64decode(last.b64_json) == contents(whole)[0]
    for event in events:
        assert Image.open(io.BytesIO(base64.b64decode(event.b64_json))).size == (64, 64)


def test_a_stream_that_fails_ends_with_the_error(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="unknown sampler"):
        client.images.generate(prompt="x", stream=True, extra_body={"sampler": "nope"})


def test_both_kinds_of_masks_mean_the_same_edit(client: OpenAI) -> None:
    """Transparent where OpenAI's clients repaint, white where OpenVINO's do."""
    image = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
    white = Image.new("L", image.size)
    white.paste(255, (16, 16, 48, 48))
    alpha = white.point(lambda value: 255 - value)
    hole = Image.merge("RGBA", [*Image.new("RGB", image.size).split(), alpha])
    cut_out = Image.merge("RGBA", [*image.split(), alpha])
    edits: list[dict[str, Any]] = [
        {"image": as_file(image), "mask": as_file(hole)},
        {"image": [as_file(image)], "mask": as_file(white)},
        {"image": as_file(cut_out)},
    ]
    options = {**FEW, "strength": 0.9}
    pictures = [
        Image.open(io.BytesIO(contents(each)[0]))
        for edit in edits
        if (each := client.images.edit(prompt="a boat", extra_body=options, **edit))
    ]
    first, second, third = (each.tobytes() for each in pictures)
    assert first == second == third
    kept = (0, 0, 64, 16)
    assert pictures[0].crop(kept).tobytes() == image.crop(kept).tobytes()
    assert pictures[0].tobytes() != image.tobytes()


def test_an_edit_streams_too(client: OpenAI) -> None:
    image = as_file(Image.new("RGB", (64, 64), "red"))
    events = list(client.images.edit(prompt="x", image=image, stream=True, extra_body=FEW))
    assert events[-1].type == "image_edit.completed"


def test_variations_are_pictures_near_to_one(client: OpenAI) -> None:
    image = as_file(Image.new("RGB", (64, 64), "red"))
    with pytest.deprecated_call():  # by OpenAI, and still there
        answer = client.images.create_variation(
            image=image, n=2, response_format="b64_json", extra_body=FEW
        )
    assert len(contents(answer)) == 2


def test_quality_stands_for_a_preset_of_speed(client: OpenAI) -> None:
    pictures = [
        contents(client.images.generate(prompt="x", **options))
        for options in (
            {"quality": "low", "extra_body": {"seed": 1}},
            {"extra_body": {"seed": 1, "speed": "fast"}},
        )
    ]
    assert pictures[0] == pictures[1]


def test_models_are_listed(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "sdrt"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


@pytest.mark.parametrize(
    ("options", "error", "param"),
    [
        ({"size": "large"}, openai.BadRequestError, "size"),
        ({"size": "66x64"}, openai.BadRequestError, "width"),
        ({"n": 0}, openai.BadRequestError, "n"),
        ({"n": 60}, openai.BadRequestError, "num_images_per_prompt"),
        ({"n": 1000}, openai.BadRequestError, "n"),
        ({"model": "other"}, openai.NotFoundError, "model"),
        ({"background": "transparent"}, openai.BadRequestError, None),
        ({"extra_body": {"steps": 3}}, openai.BadRequestError, "steps"),
        ({"extra_body": {"seed": 1, "rng_seed": 2}}, openai.BadRequestError, None),
    ],
)
def test_errors_are_those_of_the_client(
    client: OpenAI, options: dict[str, Any], error: type[openai.APIStatusError], param: str | None
) -> None:
    with pytest.raises(error) as caught:
        client.images.generate(prompt="x", **options)
    assert caught.value.param == param
    assert caught.value.code == "invalid_request_error"


def test_what_open_webui_sends(real_server: str) -> None:
    """Recorded from its router for pictures, with the parameters that a user may add."""
    body = {
        "model": "tiny",
        "prompt": "a boat",
        "n": 1,
        "size": "64x64",
        "response_format": "b64_json",
        "num_inference_steps": 2,
    }
    headers = {"Authorization": "Bearer", "Content-Type": "application/json"}
    answer = httpx.post(
        f"{real_server}/v1/images/generations", json=body, headers=headers, timeout=60
    )
    assert answer.status_code == 200
    assert answer.json()["data"][0]["b64_json"]
    fields = {"model": "tiny", "prompt": "a boat", "n": "1", "size": "64x64"}
    files = [("image[]", as_file(Image.new("RGB", (64, 64), "red")))]
    edited = httpx.post(
        f"{real_server}/v1/images/edits",
        data={**fields, "response_format": "b64_json", "num_inference_steps": "2"},
        files=files,
        timeout=60,
    )
    assert edited.status_code == 200, edited.text


def test_what_openvino_model_server_s_clients_send(real_server: str) -> None:
    body = {
        "model": "tiny",
        "prompt": "a boat",
        "rng_seed": 45,
        "num_inference_steps": 2,
        "guidance_scale": 3.0,
        "negative_prompt": "a cat",
        "num_images_per_prompt": 1,
        "size": "64x64",
    }
    answer = httpx.post(f"{real_server}/v3/images/generations", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    png = base64.b64decode(answer.json()["data"][0]["b64_json"])
    with Image.open(io.BytesIO(png)) as image:
        record = json.loads(image.text["sdrt"])  # type: ignore[attr-defined]
    assert (record["seed"], record["guidance_scale"]) == (45, 3.0)
