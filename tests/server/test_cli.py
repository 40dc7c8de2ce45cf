"""`sdrt serve` as a process, and what it refuses to start with."""

import io
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from PIL import Image

from sdrt.artifact import Artifact
from tests.runtime.cli.command_line import ENVIRONMENT, assert_fails, run_here

JOB = {"prompt": "a boat", "num_inference_steps": 100, "seed": 1, "width": 256, "height": 256}


@contextmanager
def started(model: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server and its URL; it is killed if the block leaves it running."""
    line = [sys.executable, "-m", "sdrt", "serve", "--port", "0", "--backend", "onnxruntime"]
    line += ["--model", f"tiny={model}", *options]
    with subprocess.Popen(line, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            match = re.search(r"on (http://\S+)/\n", process.stderr.readline())
            assert match, process.stderr.read()
            yield process, match[1]
        finally:
            process.kill()


def wait_for_step(url: str, id: str) -> None:
    end = time.monotonic() + 60
    while httpx.get(f"{url}/v1/jobs/{id}").json()["step"] < 1:
        assert time.monotonic() < end


@pytest.mark.slow
def test_a_server_makes_pictures_and_ends_its_job_when_it_is_told_to_stop(tiny: Artifact) -> None:
    with started(tiny.root, "--log-format", "json") as (process, url):
        assert "<html" in httpx.get(url).text
        running, waiting = (httpx.post(f"{url}/v1/jobs", json=JOB).json()["id"] for _ in range(2))
        with httpx.stream("GET", f"{url}/v1/jobs/{running}/events", timeout=60) as stream:
            with httpx.stream("GET", f"{url}/v1/jobs/{waiting}/events", timeout=60) as other:
                wait_for_step(url, running)
                process.send_signal(signal.SIGTERM)
                assert "event: failed" in other.read().decode()
                assert "event: done" in stream.read().decode()
        assert process.wait(30) == 0
        log = process.stderr.read() if process.stderr else ""
    assert '"level": "info"' in log
    assert "Traceback" not in log
    assert "a boat" not in log  # prompts are nobody's business


@pytest.mark.slow
def test_a_job_is_cancelled_when_the_grace_is_over_and_the_port_is_free_again(
    tiny: Artifact,
) -> None:
    with started(tiny.root, "--grace", "0", "--log-prompts") as (process, url):
        port = url.rpartition(":")[2]
        taken = run_here("serve", "--port", port, cwd=Path.cwd())
        assert_fails(taken, 2, f"cannot listen on 127.0.0.1, port {port}", "choose another --port")
        id = httpx.post(f"{url}/v1/jobs", json={**JOB, "width": 512, "height": 512}).json()["id"]
        with httpx.stream("GET", f"{url}/v1/jobs/{id}/events", timeout=60) as stream:
            wait_for_step(url, id)
            process.send_signal(signal.SIGINT)
            assert "event: cancelled" in stream.read().decode()
        assert process.wait(30) == 0
        assert "a boat" in (process.stderr.read() if process.stderr else "")
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", int(port)))


@pytest.mark.slow
def test_a_client_that_leaves_cancels_its_job_and_the_next_picture_is_as_ever(
    tiny: Artifact,
) -> None:
    """Whatever it was killed in."""
    ask = (
        "import httpx, sys\n"
        "body = {'prompt': 'x', 'size': '512x512', 'num_inference_steps': 150}\n"
        "httpx.post(sys.argv[1], json=body, timeout=60)\n"
    )
    short = {"prompt": "a boat", "num_inference_steps": 2, "seed": 1}
    with started(tiny.root) as (_, url):
        before = httpx.post(f"{url}/v1/images/generations", json=short, timeout=60).json()["data"]
        with subprocess.Popen([sys.executable, "-c", ask, f"{url}/v1/images/generations"]) as left:
            while not (jobs := _unfinished(url)):
                assert left.poll() is None
            wait_for_step(url, jobs[0])
            left.kill()
        after = httpx.post(f"{url}/v1/images/generations", json=short, timeout=60).json()["data"]
        assert httpx.get(f"{url}/v1/jobs/{jobs[0]}").json()["state"] == "cancelled"
    assert after == before
    assert after[0]["b64_json"]


def _unfinished(url: str) -> list[str]:
    jobs = httpx.get(f"{url}/v1/jobs").json()["jobs"]
    return [job["id"] for job in jobs if job["state"] in ("queued", "running")]


@pytest.mark.slow
def test_models_by_name_and_one_whose_folder_disappears(tiny_path: Path) -> None:
    with started(tiny_path, "-m", "demo=demo") as (_, url):
        names = [model["name"] for model in httpx.get(f"{url}/v1/capabilities").json()["models"]]
        assert names == ["tiny", "demo"]
        (tiny_path / "unet").rename(tiny_path / "gone")
        ask = {"prompt": "x", "num_inference_steps": 2}
        gone = httpx.post(f"{url}/v1/images/generations", json=ask, timeout=60)
        assert gone.status_code == 500
        assert str(tiny_path) not in gone.text
        made = httpx.post(f"{url}/sdapi/v1/txt2img", json={"prompt": "x", "steps": 2}, timeout=60)
        assert made.status_code == 500
        other = httpx.post(f"{url}/v1/jobs", json={**ask, "model": "demo"})
        events = httpx.get(f"{url}/v1/jobs/{other.json()['id']}/events", timeout=60)
        assert "event: done" in events.text
        picture = httpx.get(f"{url}/v1/jobs/{other.json()['id']}/images/0.png").content
        assert Image.open(io.BytesIO(picture)).size == (128, 128)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--host", "0.0.0.0"], 2, ["lets other machines in", "--api-key", "--insecure"]),
        (["--model", "a=demo", "--model", "a=demo"], 2, ["two models are called 'a'"]),
        (["--model", "nowhere"], 3, ["nowhere"]),
        (["--max-body", "much"], 2, ["expected for example 4G"]),
        (["--lora-dir", "nowhere"], 2, ["nowhere"]),
        (["--api-key-file", "nowhere"], 2, ["nowhere"]),
        (["--host", "nowhere.invalid"], 2, ["--insecure"]),
        (["--host", "203.0.113.1", "--insecure"], 2, ["cannot listen on 203.0.113.1"]),
        (["--threads", "0"], 2, ["threads is 0"]),
        (["--port", "99999"], 2, ["99999"]),
    ],
)
def test_what_it_cannot_start_with_is_said_in_a_sentence(
    tmp_path: Path, options: list[str], code: int, words: list[str]
) -> None:
    port = () if "--port" in options else ("--port", "0")
    assert_fails(run_here("serve", *port, *options, cwd=tmp_path), code, *words)


def test_an_empty_file_of_keys_lets_nobody_in_by_mistake(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("\n\n")
    done = run_here("serve", "--port", "0", "--api-key-file", "keys", cwd=tmp_path)
    assert_fails(done, 2, "keys has no key in it")
