"""The native API, asked as a client would."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_type_hints

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.images.png import png_bytes
from sdrt.pipeline import Pipeline
from sdrt.request.depth_map import open_depth_map
from sdrt.request.options import Options
from sdrt_server.app import create_app
from sdrt_server.http.pictures import to_base64
from sdrt_server.limits import Limits
from sdrt_server.native.schema import JobRequest
from sdrt_server.service import Service
from tests.runtime.fakes import SMALL, pretend_tiny
from tests.runtime.request.test_depth_map import with_channels
from tests.server.conftest import HERE
from tests.server.serving import Held

JOB: dict[str, Any] = {"prompt": "a boat", "seed": 3, **SMALL}
ARRAYS = {
    *("latents", "denoising_start", "denoising_end"),
    *("prompt_embeds", "negative_prompt_embeds"),
    *("pooled_prompt_embeds", "negative_pooled_prompt_embeds"),
}
"""Options that programs in the same process have, as they hold arrays."""
NEGATIVE_SIZES = {
    *("negative_original_size", "negative_crops_coords_top_left", "negative_target_size"),
    "negative_aesthetic_score",
}
"""Options that the command line does not have either."""


def events(client: httpx.Client | TestClient, id: str) -> list[tuple[str, dict[str, Any]]]:
    """All events of a job, to its end."""
    seen = []
    for block in client.get(f"/v1/jobs/{id}/events").text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":")
        if lines:
            seen.append((lines["event"], json.loads(lines["data"])))
    return seen


def finished(client: TestClient, body: dict[str, Any]) -> dict[str, Any]:
    """A job once it has ended."""
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    name, job = events(client, answer.json()["id"])[-1]
    assert name == job["state"]
    return job


def test_every_option_of_a_run_is_a_field() -> None:
    """But for ControlNets, which are folders on the server's machine; they are refused."""
    fields = set(JobRequest.model_fields)
    controls = {"controls", "guess_mode"}
    assert set(get_type_hints(Options)) - ARRAYS - NEGATIVE_SIZES - controls <= fields
    assert not controls & fields


def test_a_job_becomes_the_pictures_that_the_pipeline_makes(
    client: TestClient, pipe: Pipeline
) -> None:
    job = finished(client, {**JOB, "num_images_per_prompt": 2})
    result = pipe("a boat", seed=3, num_images_per_prompt=2, **SMALL)
    assert (job["state"], job["stage"], job["step"], job["error"]) == ("done", "finished", 3, None)
    assert [image["seed"] for image in job["images"]] == [3, 4]
    pairs = zip(result.images, result.parameters, strict=True)
    for image, expected in zip(job["images"], pairs, strict=True):
        answer = client.get(f"/{image['url']}")
        assert answer.headers["content-type"] == "image/png"
        assert answer.content == png_bytes(*expected)
        assert image["parameters"]["prompt"] == "a boat"
    assert len(job["timings"]["step_s"]) == 3


def test_a_picture_is_given_in_other_formats(client: TestClient) -> None:
    url = finished(client, JOB)["images"][0]["url"]
    for suffix, format in (("jpg", "JPEG"), ("webp", "WEBP")):
        answer = client.get(f"/{url.removesuffix('png')}{suffix}")
        assert Image.open(io.BytesIO(answer.content)).format == format
    assert client.get(f"/{url.replace('0.png', '1.png')}").status_code == 404
    assert client.get(f"/{url.replace('0.png', '0.gif')}").status_code == 422


def test_events_tell_of_the_queue_each_step_and_the_end(
    held: Held, held_service: Callable[[Limits], Service]
) -> None:
    client = TestClient(create_app(held_service(Limits())), HERE)
    first, second = (client.post("/v1/jobs", json=JOB).json()["id"] for _ in range(2))
    assert held.is_reached.wait(30)
    assert client.get(f"/v1/jobs/{second}").json()["ahead"] == 1
    held.release_later(0.1)
    seen = events(client, second)
    assert (seen[0][0], seen[0][1]["ahead"]) == ("queued", 1)
    steps = [job["step"] for name, job in seen if name == "running"]
    assert steps == sorted(steps)
    assert seen[-1][0] == "done"
    assert "preview" not in seen[-1][1]
    assert events(client, first)[0][0] == "done"  # of one that has ended, the end


def test_a_running_event_shows_a_picture(real_server: str) -> None:
    body = {"prompt": "a red boat", "num_inference_steps": 60, "seed": 1}
    id = httpx.post(f"{real_server}/v1/jobs", json=body).json()["id"]
    shown = []
    with httpx.stream("GET", f"{real_server}/v1/jobs/{id}/events", timeout=60) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                shown.append(json.loads(line[6:]).get("preview"))
    urls = [url for url in shown if url]
    assert urls
    assert all(url.startswith("data:image/webp;base64,") for url in urls)


def test_a_waiting_and_a_running_job_can_be_cancelled(
    held: Held, held_service: Callable[[Limits], Service]
) -> None:
    client = TestClient(create_app(held_service(Limits())), HERE)
    running, waiting = (client.post("/v1/jobs", json=JOB).json()["id"] for _ in range(2))
    assert held.is_reached.wait(30)
    assert client.delete(f"/v1/jobs/{waiting}").json()["state"] == "cancelled"
    assert client.delete(f"/v1/jobs/{running}").json()["state"] == "running"
    held.is_released.set()
    name, job = events(client, running)[-1]
    assert (name, job["images"]) == ("cancelled", [])
    assert "was cancelled" in job["error"]["message"]
    assert client.delete(f"/v1/jobs/{running}").status_code == 200


def test_a_full_queue_answers_with_when_to_come_back(
    held: Held, held_service: Callable[[Limits], Service]
) -> None:
    client = TestClient(create_app(held_service(Limits(max_queue=1))), HERE)
    statuses = [client.post("/v1/jobs", json=JOB).status_code for _ in range(5)]
    assert statuses.count(202) == 2
    refused = client.post("/v1/jobs", json=JOB)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1


def test_pictures_come_as_base64_or_as_parts(real_server: str) -> None:
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    parts = {"image": png_bytes(Image.new("RGB", (64, 64), "red")), "mask": png_bytes(mask)}
    body = {"prompt": "x", "seed": 3, "strength": 0.5, "num_inference_steps": 4}
    encoded = {name: to_base64(contents) for name, contents in parts.items()}
    files = {name: (f"../{name}.png", contents) for name, contents in parts.items()}
    with httpx.Client(base_url=real_server, timeout=60) as client:
        by_base64 = client.post("/v1/jobs", json={**body, **encoded})
        by_parts = client.post("/v1/jobs", data={"request": json.dumps(body)}, files=files)
        jobs = [events(client, each.json()["id"])[-1][1] for each in (by_base64, by_parts)]
        hashes, others = (job["images"][0]["parameters"]["init_image"] for job in jobs)
        assert hashes == others
        pictures = [client.get(f"/{job['images'][0]['url']}").content for job in jobs]
    assert pictures[0] == pictures[1]


def test_a_depth_model_is_given_its_map(tiny: Artifact) -> None:
    """By base64 or as a part; the map's hash is in the parameters."""

    def compute(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name != "unet":
            return pretend_tiny(name, feeds)
        latents, depth = feeds["sample"][:, :4], feeds["sample"][:, 4:]
        return {"out_sample": np.tanh(latents) + depth}

    slope = Image.fromarray(np.outer(np.arange(64), np.full(64, 1000)).astype(np.uint16))
    manifest = with_channels(tiny.manifest, 5)
    service = Service({"depth": Pipeline(replace(tiny, manifest=manifest), FakeBackend(compute))})
    client = TestClient(create_app(service), HERE)
    (model,) = client.get("/v1/capabilities").json()["models"]
    assert model["starts_from"] == ["depth"]
    body = {"prompt": "x", "seed": 3, "num_inference_steps": 2}
    contents = png_bytes(slope)
    by_base64 = finished(client, {**body, "depth": to_base64(contents)})
    files = {"depth": ("map.png", contents)}
    answer = client.post("/v1/jobs", data={"request": json.dumps(body)}, files=files)
    by_part = events(client, answer.json()["id"])[-1][1]
    for job in (by_base64, by_part):
        assert job["images"][0]["parameters"]["init_image"] == {
            "depth": open_depth_map(slope).digest
        }
    missing = client.post("/v1/jobs", json=body)
    assert (missing.status_code, missing.json()["error"]["param"]) == (400, "depth")
    service.queue.stop()


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"prompt": 7}, 422, "prompt"),
        ({}, 422, "prompt"),
        ({"prompt": "x", "stepz": 3}, 422, "stepz"),
        ({"prompt": "x", "width": 100_000}, 400, "width"),
        ({"prompt": "x", "guidance_scale": -1}, 422, "guidance_scale"),
        ({"prompt": "x", "guidance_rescale": 7}, 400, "guidance_rescale"),
        ({"prompt": "x", "num_inference_steps": 1000}, 400, "num_inference_steps"),
        ({"prompt": "x", "model": "other"}, 404, "model"),
        ({"prompt": "x", "loras": [{"name": "../x"}]}, 400, "loras"),
        ({"prompt": "x", "image": "?"}, 400, "image"),
        ({"prompt": "\ud800"}, 422, None),
        ({"prompt": "x", "\ud800": 1}, 422, None),
        ({"prompt": "x", "seed": 10**400}, 422, "seed"),
        ({"prompt": "x", "sampler": "nope"}, 400, "sampler"),
        ({"prompt": "x", "strength": 0.5}, 400, None),
    ],
)
def test_what_is_wrong_is_named(
    client: TestClient, body: dict[str, Any], status: int, param: str | None
) -> None:
    text = json.dumps(body)
    answer = client.post("/v1/jobs", content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["message"]
    if param:
        assert error["param"] == param


def test_several_mistakes_are_named_at_once(client: TestClient) -> None:
    answer = client.post("/v1/jobs", json={"promt": "x", "width": "wide"})
    message = answer.json()["error"]["message"]
    assert all(name in message for name in ("prompt: Field required", "promt: ", "width: "))
    missing = client.get("/v1/nothing").json()["error"]["message"]
    assert missing == "there is no GET /v1/nothing; /docs lists what there is"


@pytest.mark.parametrize(
    "text", ["", "[", "[" * 100_000, '{"prompt": NaN}', "1" * 10_000, '{"prompt": "x"', "\ufeff{}"]
)
def test_what_is_no_job_is_refused(client: TestClient, text: str) -> None:
    answer = client.post(
        "/v1/jobs", content=text.encode(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    parts = {"request": (None, text)}
    assert client.post("/v1/jobs", files=parts).status_code in (400, 422)


def test_unknown_parts_are_named(client: TestClient) -> None:
    data, files = {"request": json.dumps(JOB)}, {"picture": ("x", b"")}
    answer = client.post("/v1/jobs", data=data, files=files)
    assert (answer.status_code, "'picture'" in answer.text) == (400, True)


def test_a_list_of_jobs_has_the_newest_first_and_is_short(client: TestClient) -> None:
    ids = [finished(client, {**JOB, "seed": seed})["id"] for seed in range(2)]
    jobs = client.get("/v1/jobs").json()["jobs"]
    assert [job["id"] for job in jobs] == ids[::-1]
    assert all(job["images"][0]["parameters"] is None for job in jobs)


def test_unknown_jobs_are_not_found(client: TestClient) -> None:
    for path in ("", "/events", "/images/0.png"):
        answer = client.get(f"/v1/jobs/{'0' * 32}{path}")
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, "UnknownJobError")
    assert client.get("/v1/jobs/../../etc/passwd").status_code == 404
    assert client.get("/v1/jobs/x").status_code == 422


def test_no_answer_has_a_path_of_the_server(client: TestClient, pipe: Pipeline) -> None:
    root = str(pipe.artifact.root)
    (pipe.artifact.root / "gone").mkdir(exist_ok=True)
    texts = [client.get(path).text for path in ("/v1/capabilities", "/sdapi/v1/sd-models")]
    texts.append(json.dumps(finished(client, JOB)))
    assert not [text for text in texts if root in text]


def test_parameters_of_a_picture_make_it_again(client: TestClient) -> None:
    job = finished(client, {**JOB, "sampler": "euler_a", "negative_prompt": "a cat"})
    png = client.get(f"/{job['images'][0]['url']}").content
    facts = client.post("/v1/parameters", files={"image": ("x", png)}).json()
    assert facts["record"]["model_hash"]
    again = finished(client, facts["options"])
    assert again["images"][0]["parameters"]["sampler"] == "euler_a"
    assert client.get(f"/{again['images'][0]['url']}").content == png


def test_a_picture_without_parameters_says_so(client: TestClient) -> None:
    bare = png_bytes(Image.new("RGB", (64, 64)))
    answer = client.post("/v1/parameters", files={"image": ("x", bare)})
    assert answer.status_code == 400
    assert "no parameters inside" in answer.text


def test_capabilities_say_what_may_be_asked_for(client: TestClient) -> None:
    answer = client.get("/v1/capabilities").json()
    (model,) = answer["models"]
    assert (model["name"], answer["default_model"]) == ("tiny", "tiny")
    assert answer["limits"]["max_images"] == Limits().max_images
    assert {"dpm++2m", "euler"} <= {sampler["name"] for sampler in answer["samplers"]}
