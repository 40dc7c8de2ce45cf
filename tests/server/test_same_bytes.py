"""The same seed gives the same file by every API, and on the command line."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from click.testing import CliRunner

import sdrt
from sdrt.artifact import open_artifact
from sdrt.cli.generate import generate
from sdrt_server.models.adapter_files import AdapterFiles
from sdrt_server.service import Service
from tests.runtime.adapters.lora_files import kohya, random_lora, save
from tests.server.native.test_jobs import events
from tests.server.serving import serving

PROMPT = "a quay at dawn"
FLAGS = ("--steps", "3", "--seed", "11", "--cfg-scale", "4", "--sampler", "euler_a", "-n", "fog")


@pytest.fixture(scope="module")
def adapters(
    tiny_exports: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A LoRA and a textual inversion, each in a folder of its own."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("loras", "embeddings")}
    (folders["loras"] / "inner").mkdir()
    lora = random_lora(open_artifact(tiny_exports["fp32"]))
    save(folders["loras"] / "inner" / "ink.safetensors", kohya(lora))
    save(folders["embeddings"] / "quay.safetensors", {"emb_params": np.ones((2, 16), np.float32)})
    return folders


@pytest.fixture(scope="module")
def client(tiny_exports: dict[str, Path], adapters: dict[str, Path]) -> Iterator[httpx.Client]:
    """A client of a server with the tiny model and these adapters."""
    service = Service(
        {"tiny": sdrt.load(tiny_exports["fp32"], "onnxruntime")},
        loras=AdapterFiles("LoRA", adapters["loras"]),
        embeddings=AdapterFiles("embedding", adapters["embeddings"]),
    )
    with serving(service) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def by_command(model: Path, path: Path, *flags: str) -> bytes:
    line = [PROMPT, "-m", str(model), "-o", str(path), "--backend", "onnxruntime", *FLAGS, *flags]
    CliRunner().invoke(generate, line, catch_exceptions=False)
    return path.read_bytes()


def natively(client: httpx.Client, **more: Any) -> bytes:
    body = {
        "prompt": PROMPT,
        "negative_prompt": "fog",
        "num_inference_steps": 3,
        "seed": 11,
        "guidance_scale": 4.0,
        "sampler": "euler_a",
        **more,
    }
    _, job = events(client, client.post("/v1/jobs", json=body).json()["id"])[-1]
    assert job["state"] == "done", job
    return client.get(f"/{job['images'][0]['url']}").content


def as_a1111(client: httpx.Client, prompt: str = PROMPT) -> bytes:
    body = {
        "prompt": prompt,
        "negative_prompt": "fog",
        "steps": 3,
        "seed": 11,
        "cfg_scale": 4,
        "sampler_name": "Euler a",
    }
    return base64.b64decode(client.post("/sdapi/v1/txt2img", json=body).json()["images"][0])


def test_every_way_gives_the_same_file(
    client: httpx.Client, tiny_exports: dict[str, Path], tmp_path: Path
) -> None:
    body = {
        "prompt": PROMPT,
        "negative_prompt": "fog",
        "num_inference_steps": 3,
        "seed": 11,
        "guidance_scale": 4,
        "sampler": "euler_a",
    }
    answer = client.post("/v1/images/generations", json=body).json()
    assert (
        by_command(tiny_exports["fp32"], tmp_path / "a.png")
        == natively(client)
        == base64.b64decode(answer["data"][0]["b64_json"])
    )
    # A1111's clients have embeddings by their name in the prompt.
    assert as_a1111(client) == natively(client, embeddings=["quay"]) != natively(client)


def test_adapters_do_so_too_and_go_away_again(
    client: httpx.Client,
    adapters: dict[str, Path],
    tiny_exports: dict[str, Path],
    tmp_path: Path,
) -> None:
    plain = natively(client)
    lora = adapters["loras"] / "inner" / "ink.safetensors"
    word = adapters["embeddings"] / "quay.safetensors"
    flags = ("--lora", f"{lora}:0.5", "--embedding", str(word))
    expected = by_command(tiny_exports["fp32"], tmp_path / "a.png", *flags)
    loras = [{"name": "ink", "weight": 0.5}]
    assert natively(client, loras=loras, embeddings=["quay"]) == expected
    assert as_a1111(client, f"<lora:ink:0.5>{PROMPT}") == expected
    assert plain != expected
    assert natively(client) == plain


def test_adapters_are_listed_by_their_names(client: httpx.Client) -> None:
    has = client.get("/v1/capabilities").json()
    assert (has["loras"], has["embeddings"]) == (["ink"], ["quay"])
    assert [each["name"] for each in client.get("/sdapi/v1/loras").json()] == ["ink"]
    assert list(client.get("/sdapi/v1/embeddings").json()["loaded"]) == ["quay"]


def test_a_lora_that_does_not_fit_is_refused_at_once_and_without_its_path(
    client: httpx.Client, adapters: dict[str, Path]
) -> None:
    save(adapters["loras"] / "broken.safetensors", {"x": np.ones((2, 2), np.float32)})
    answer = client.post("/v1/jobs", json={"prompt": "x", "loras": [{"name": "broken"}]})
    assert answer.status_code >= 400
    assert "broken.safetensors" in answer.json()["error"]["message"]
    assert str(adapters["loras"]) not in answer.text
