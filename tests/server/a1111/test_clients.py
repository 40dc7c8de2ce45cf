"""Clients of AUTOMATIC1111's API: a package as it is, and what programs send, step by step."""

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import webuiapi
from fastapi.testclient import TestClient
from PIL import Image

from sdrt.images.png import png_bytes
from sdrt.pipeline import Pipeline
from sdrt_server.app import create_app
from sdrt_server.http.pictures import to_base64
from sdrt_server.limits import Limits
from sdrt_server.service import Service
from tests.runtime.fakes import SMALL
from tests.server.conftest import HERE
from tests.server.serving import Held

TINY = {"prompt": "a boat", "width": 64, "height": 64, "steps": 3, "seed": 5}


@pytest.fixture
def api(real_server: str) -> Iterator[httpx.Client]:
    """A client of the server with the tiny model."""
    with httpx.Client(base_url=f"{real_server}/sdapi/v1", timeout=60) as client:
        yield client


def picture(answer: dict[str, Any]) -> bytes:
    return base64.b64decode(answer["images"][0])


def test_a_picture_is_the_one_that_the_pipeline_makes(client: TestClient, pipe: Pipeline) -> None:
    answer = client.post("/sdapi/v1/txt2img", json={**TINY, "n_iter": 2}).json()
    result = pipe("a boat", seed=5, num_images_per_prompt=2, **SMALL)
    expected = list(map(png_bytes, result.images, result.parameters))
    assert [base64.b64decode(each) for each in answer["images"]] == expected
    info = json.loads(answer["info"])
    assert (info["seed"], info["all_seeds"], info["steps"]) == (5, [5, 6], 3)
    assert info["infotexts"] == [each.to_a1111() for each in result.parameters]


def test_webuiapi_as_it_is(real_server: str) -> None:
    address = urlsplit(real_server)
    api = webuiapi.WebUIApi(host=address.hostname, port=address.port)
    made = api.txt2img(
        prompt="a red boat", seed=7, steps=3, width=64, height=64, sampler_name="Euler a"
    )
    assert made.image.size == (64, 64)
    assert made.info["sampler_name"] == "Euler a"
    again = api.img2img(images=[made.image], prompt="a boat", steps=4, width=64, height=64)
    assert again.image.size == (64, 64)
    mask = Image.new("L", (64, 64), 255)
    api.img2img(
        images=[made.image], mask_image=mask, prompt="x", steps=4, width=64, height=64, seed=1
    )
    assert api.util_get_current_model().startswith("tiny [")
    api.util_set_model("tiny")
    assert api.get_progress()["progress"] == 0
    assert "DPM++ 2M" in api.util_get_sampler_names()
    assert "Steps: 3" in api.png_info(made.image).info
    api.session.close()


def test_what_open_webui_does(api: httpx.Client) -> None:
    """It asks for the options, changes the model in them and posts all of them back."""
    options = api.get("/options").json()
    title = api.get("/sd-models").json()[0]["title"]
    answer = api.post("/options", json={**options, "sd_model_checkpoint": title, "other": [1]})
    assert answer.status_code == 200
    body = {
        "prompt": "a boat",
        "batch_size": 1,
        "width": 64,
        "height": 64,
        "steps": 2,
        "negative_prompt": "",
        "cfg_scale": 3.0,
        "sampler_name": "DPM++ 2M",
        "scheduler": "Karras",
    }
    made = api.post("/txt2img", json=body, headers={"Authorization": ""}).json()
    assert picture(made)[:4] == b"\x89PNG"
    assert json.loads(made["info"])["infotexts"][0].startswith("a boat")


def test_what_sillytavern_does(api: httpx.Client) -> None:
    """It lists everything, changes the model, waits until nothing is at work, and generates."""
    lists = ("samplers", "schedulers", "upscalers", "latent-upscale-modes", "sd-vae", "sd-models")
    assert all(isinstance(api.get(f"/{name}").json(), list) for name in lists)
    api.post("/options", json={"sd_model_checkpoint": "tiny"})
    progress = api.get("/progress").json()
    assert (progress["progress"], progress["state"]["job_count"]) == (0, 0)
    body = {
        "prompt": "a boat",
        "negative_prompt": "a cat",
        "sampler_name": "Euler",
        "scheduler": "Automatic",
        "steps": 3,
        "cfg_scale": 4,
        "width": 64,
        "height": 64,
        "seed": -1,
        "restore_faces": False,
        "enable_hr": True,
        "hr_upscaler": "Lanczos",
        "hr_scale": 2,
        "hr_additional_prompt": "",
        "hr_second_pass_steps": 0,
        "denoising_strength": 0.7,
        "clip_skip": 1,
        "override_settings": {"CLIP_stop_at_last_layers": 1, "other": True},
        "override_settings_restore_afterwards": True,
        "save_images": False,
        "send_images": True,
        "do_not_save_samples": False,
    }
    made = api.post("/txt2img", json=body).json()
    assert Image.open(io.BytesIO(picture(made))).size == (128, 128)
    info = json.loads(made["info"])
    assert "hr_upscaler" in info["ignored"]
    assert info["denoising_strength"] == 0.7


def test_what_librechat_sends(api: httpx.Client) -> None:
    body = {
        "prompt": "a boat",
        "negative_prompt": "a cat",
        "cfg_scale": 4.5,
        "steps": 2,
        "width": 64,
        "height": 64,
    }
    made = api.post("/txt2img", json=body).json()
    assert json.loads(made["info"])["infotexts"][0].startswith("a boat\nNegative prompt: a cat")


def test_progress_shows_the_running_job(
    held: Held, held_service: Callable[[Limits], Service]
) -> None:
    service = held_service(Limits())
    client = TestClient(create_app(service), HERE)
    asking = threading.Thread(target=lambda: client.post("/sdapi/v1/txt2img", json=TINY))
    asking.start()
    assert held.is_reached.wait(30)
    progress = client.get("/sdapi/v1/progress").json()
    assert progress["progress"] > 0
    assert (progress["state"]["job_count"], progress["state"]["sampling_steps"]) == (1, 3)
    held.is_released.set()
    asking.join(30)
    assert client.get("/sdapi/v1/progress").json()["progress"] == 0


def test_who_waits_gets_spaces_and_then_the_answer(
    held: Held, held_service: Callable[[Limits], Service]
) -> None:
    client = TestClient(create_app(held_service(Limits())), HERE)
    held.release_later(0.3)
    answer = client.post("/sdapi/v1/txt2img", json=TINY)
    assert answer.text.startswith("  ")
    assert picture(answer.json())[:4] == b"\x89PNG"


def test_what_fails_after_the_first_space_is_said_in_the_body(
    held: Held, held_service: Callable[[Limits], Service]
) -> None:
    client = TestClient(create_app(held_service(Limits(job_timeout=0.1))), HERE)
    held.release_later(0.3)
    answer = client.post("/sdapi/v1/txt2img", json=TINY)
    assert (answer.status_code, answer.json()["error"]) == (200, "JobTimeoutError")
    assert "--job-timeout" in answer.json()["detail"]


def test_an_interrupt_gives_the_picture_that_there_is(api: httpx.Client) -> None:
    answers: list[httpx.Response] = []
    body = {"prompt": "a boat", "steps": 150, "seed": 1, "width": 512, "height": 512}
    asking = threading.Thread(target=lambda: answers.append(api.post("/txt2img", json=body)))
    asking.start()
    while api.get("/progress").json()["state"]["sampling_step"] < 2:
        assert asking.is_alive()
    shown = api.get("/progress").json()
    assert Image.open(io.BytesIO(base64.b64decode(shown["current_image"]))).size == (512, 512)
    api.post("/interrupt")
    asking.join(60)
    made = answers[0].json()
    assert json.loads(made["info"])["interrupted"]
    with Image.open(io.BytesIO(picture(made))) as image:
        assert image.size == (512, 512)
        assert not image.info  # nothing could make it again


def test_loras_of_the_folder_are_named_in_prompts(client: TestClient, tmp_path: Path) -> None:
    answer = client.post("/sdapi/v1/txt2img", json={**TINY, "prompt": "a <lora:../x:0.5> boat"})
    assert answer.status_code == 400
    assert "this server has no LoRAs" in answer.json()["detail"]


def test_an_image_is_stretched_cropped_or_framed(api: httpx.Client) -> None:
    source = Image.radial_gradient("L").resize((96, 64)).convert("RGB")
    body = {
        "prompt": "x",
        "init_images": [to_base64(png_bytes(source))],
        "width": 64,
        "height": 64,
        "steps": 4,
        "seed": 1,
    }
    pictures = [
        picture(api.post("/img2img", json={**body, "resize_mode": mode}).json())
        for mode in (0, 1, 2)
    ]
    assert len(set(pictures)) == 3
    stretched = source.resize((64, 64), Image.Resampling.LANCZOS)
    same = {**body, "init_images": [to_base64(png_bytes(stretched))]}
    assert picture(api.post("/img2img", json=same).json()) == pictures[0]


def test_a_mask_may_be_inverted(api: httpx.Client) -> None:
    image = to_base64(png_bytes(Image.new("RGB", (64, 64), "red")))
    left, right = Image.new("L", (64, 64)), Image.new("L", (64, 64), 255)
    for mask, value in ((left, 255), (right, 0)):
        mask.paste(value, (0, 0, 32, 64))
    body = {"prompt": "x", "init_images": [image], "steps": 2, "seed": 1, "denoising_strength": 1.0}
    made = [
        picture(api.post("/img2img", json={**body, **mask}).json())
        for mask in (
            {"mask": to_base64(png_bytes(left))},
            {"mask": to_base64(png_bytes(right)), "inpainting_mask_invert": 1},
        )
    ]
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("txt2img", {"prompt": "x", "steps": 0}, 422, "steps"),
        ("txt2img", {"prompt": "x", "width": 65}, 400, "width is 65"),
        ("txt2img", {"prompt": "x", "batch_size": 1000}, 400, "1000 pictures"),
        ("txt2img", {"prompt": "x", "sampler_name": "nope"}, 400, "unknown sampler"),
        ("txt2img", {"prompt": "x", "override_settings": {"sd_model_checkpoint": "y"}}, 404, "'y'"),
        ("img2img", {"prompt": "x", "init_images": []}, 422, "init_images"),
        ("img2img", {"prompt": "x", "init_images": ["?"]}, 400, "not valid base64"),
        ("options", {"sd_model_checkpoint": "other"}, 404, "unknown model 'other'"),
        ("png-info", {"image": "aGVsbG8="}, 400, "no readable PNG"),
    ],
)
def test_errors_have_their_form(
    client: TestClient, path: str, body: dict[str, Any], status: int, said: str
) -> None:
    answer = client.post(f"/sdapi/v1/{path}", json=body)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["detail"]
    assert answer.json()["errors"] == answer.json()["detail"]


def test_everything_that_clients_list_is_there(client: TestClient) -> None:
    for path in (
        *("loras", "embeddings", "prompt-styles", "scripts", "script-info", "memory"),
        *("hypernetworks", "face-restorers", "realesrgan-models", "cmd-flags", "extensions"),
    ):
        assert client.get(f"/sdapi/v1/{path}").status_code == 200, path
    for path in ("refresh-checkpoints", "refresh-loras", "skip", "interrupt"):
        assert client.post(f"/sdapi/v1/{path}").status_code == 200, path
