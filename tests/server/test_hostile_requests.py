"""Requests that nobody would send by hand: none may be answered with a mistake, or end the server.

`SDRT_FUZZ_CASES` is how many there are of either kind; what a test tried last is in its message,
with a seed that changes every day.
"""

import json
import math
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any, cast

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from PIL import Image
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.result import Ok

from sdrt import machine
from sdrt.images.png import png_bytes
from sdrt.pipeline import Pipeline
from sdrt_server.http.pictures import to_base64
from sdrt_server.limits import Limits
from sdrt_server.service import Service
from tests.server.serving import serving

Check = Callable[[Any, Any, Any], bool | None]

CASES = int(os.environ.get("SDRT_FUZZ_CASES", "120"))
SEED = os.environ.get("SDRT_TEST_SEED", f"{date.today()}")
SMALL = Limits(max_steps=2, max_pixels=96 * 96, max_images=1, max_queue=4, max_body=10**6)
CHECKED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
PICTURE = to_base64(png_bytes(Image.new("RGB", (64, 64), "red")))
BODIES: dict[str, dict[str, Any]] = {
    "/v1/jobs": {
        "prompt": "a boat",
        "width": 64,
        "height": 64,
        "num_inference_steps": 2,
        "seed": 1,
        "guidance_scale": 3.0,
        "sampler": "euler",
        "sampler_options": {"order": 2},
        "scheduler_config": {"_class_name": "EulerDiscreteScheduler"},
        "image": PICTURE,
        "strength": 0.9,
        "loras": [{"name": "x", "weight": 0.5}],
    },
    "/v1/images/generations": {
        "prompt": "a boat",
        "size": "64x64",
        "n": 1,
        "num_inference_steps": 2,
        "quality": "auto",
        "output_format": "webp",
        "output_compression": 50,
        "stream": False,
        "partial_images": 1,
    },
    "/sdapi/v1/txt2img": {
        "prompt": "a boat <lora:x:0.5>",
        "steps": 2,
        "width": 64,
        "height": 64,
        "cfg_scale": 3,
        "sampler_name": "Euler",
        "scheduler": "Karras",
        "styles": ["cinematic"],
        "enable_hr": False,
        "override_settings": {"CLIP_stop_at_last_layers": 1},
    },
    "/sdapi/v1/img2img": {
        "prompt": "a boat",
        "init_images": [PICTURE],
        "mask": PICTURE,
        "steps": 2,
        "width": 64,
        "height": 64,
        "resize_mode": 1,
        "denoising_strength": 0.9,
    },
    "/sdapi/v1/options": {"sd_model_checkpoint": "tiny"},
    "/sdapi/v1/png-info": {"image": PICTURE},
}
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 3, 10**9, 10**30, -(2**63), 0.5, 1e308, math.nan, math.inf),
    *("", " ", "x", "\0", "\ud800", "\u202e", "../../etc/passwd", "file:///etc/passwd", "%s%n"),
    *("x" * 5000, "<lora:a:b:c:d>", "((((", "<script>", "\N{FULLWIDTH DIGIT ONE}", "1e5", "64x64"),
    *([], [[]], [None], [1, 2], {}, {"": {}}, {"a": [1]}, [PICTURE, PICTURE], PICTURE[:50]),
]


@pytest.fixture(scope="module")
def server(real_pipe: Pipeline) -> Iterator[str]:
    """A server whose jobs are over soon."""
    with serving(Service({"tiny": real_pipe}, SMALL, patience_s=1.0)) as url:
        yield url


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the package that makes the requests
def test_requests_made_from_the_description_are_answered_as_it_says(server: str) -> None:
    load_all_checks()
    checks = cast(list[Check], CHECKS.get_by_names(list(CHECKED)))
    schema = schemathesis.openapi.from_url(f"{server}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    assert len(operations) > 40
    for operation in operations:

        @seed(SEED)
        @settings(
            max_examples=max(1, CASES // len(operations)),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: "schemathesis.Case[Any]") -> None:
            case.call_and_validate(checks=checks, timeout=60)

        ask()


def damaged(body: Any, chance: random.Random) -> Any:
    """The body with one value replaced by an odd one, somewhere, or one more field."""
    if isinstance(body, dict) and body and chance.random() < 0.9:
        name = chance.choice(list(body))
        if chance.random() < 0.1:
            return {**body, str(chance.choice(ODD)): chance.choice(ODD)}
        return {**body, name: damaged(body[name], chance)}
    return chance.choice(ODD)


@pytest.mark.slow
def test_damaged_bodies_of_every_api_are_refused_or_made(server: str) -> None:
    chance = random.Random(SEED)
    statuses: Counter[int] = Counter()
    with httpx.Client(base_url=server, timeout=60) as client:
        for index in range(CASES):
            path = chance.choice(list(BODIES))
            text = json.dumps(damaged(BODIES[path], chance)).encode()
            if chance.random() < 0.2:
                cut = chance.randrange(len(text))
                text = text[:cut] + bytes([chance.randrange(256)]) + text[cut + 1 :]
            answer = client.post(path, content=text, headers={"Content-Type": "application/json"})
            told = f"SDRT_TEST_SEED={SEED}, case {index}: {path} {text[:2000]!r}: {answer.text}"
            assert answer.status_code < 500, told
            answer.json() if "json" in answer.headers["content-type"] else answer.read()
            statuses[answer.status_code] += 1
        assert client.get("/healthz").status_code == 200
    print(statuses, f"{machine.resident_bytes() / 1e6:.0f} MB")
    assert statuses[200] + statuses[202] > CASES // 50  # not everything is refused at the door
