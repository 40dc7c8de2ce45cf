"""How `sdrt serve` does under load: `python -m sdrt_bench.serve_load [RECORD.json]`.

A server with the embedded model runs in a process of its own. What it makes is compared with a loop
in one process, before and after, on the same threads.
"""

import asyncio
import json
import random
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import httpx

import sdrt
from sdrt import machine
from sdrt.files.atomic import whole_file

ASK: dict[str, Any] = {"prompt": "a red boat on the sea", "num_inference_steps": 8, "seed": 7}
LONG = {**ASK, "num_inference_steps": 150}
SEQUENTIAL, CANCELS = 40, 100


@dataclass(frozen=True)
class Load:
    """What was measured; times in milliseconds."""

    processor: str
    threads: int
    seconds: float
    clients: int
    loop_per_s: float
    """Pictures a second of a loop in one process, the mean of before and after."""
    served_per_s: float
    answers: dict[str, int]
    """How many answers had each status, under load."""
    throughput: float
    """What was served, as a share of the loop."""
    overhead_ms: float
    """Of a request beside its run, the median of single ones."""
    first_event_ms: float
    """Until the first event of a job's stream, the median."""
    health_p99_ms: float
    """Of `/healthz` under load."""
    cancel_p50_ms: float
    cancel_max_ms: float
    changed_after_cancel: int
    """How many pictures after a cancelled job were not bit for bit the same."""
    resident_mb: tuple[float, float]
    """Memory of the server before and after everything."""


@contextmanager
def served(threads: int) -> Iterator[str]:
    """The URL of a server."""
    line = [sys.executable, "-m", "sdrt", "serve", "--port", "0", "--threads", str(threads)]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        match = re.search(r"on (http://\S+)/\n", process.stderr.readline())
        assert match
        drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        try:
            yield match[1]
        finally:
            process.terminate()
            process.wait(60)
            drain.wait(10)


def loop(pipe: sdrt.Pipeline, seconds: float) -> float:
    """Pictures a second of a loop."""
    made, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        result = pipe(**ASK)
        made += len(result.images)
    return made / (time.perf_counter() - began)


async def hammer(url: str, clients: int, seconds: float) -> tuple[Counter[str], list[float]]:
    """The statuses of what all clients were answered, and the times of health checks meanwhile."""
    statuses: Counter[str] = Counter()
    health: list[float] = []
    end = time.perf_counter() + seconds

    async def ask(client: httpx.AsyncClient) -> None:
        while time.perf_counter() < end:
            answer = await client.post("/v1/images/generations", json=ASK)
            statuses[str(answer.status_code)] += 1
            if answer.status_code == 429:
                await asyncio.sleep(min(float(answer.headers["Retry-After"]), 1.0))

    async def look(client: httpx.AsyncClient) -> None:
        while time.perf_counter() < end:
            began = time.perf_counter()
            (await client.get("/healthz")).raise_for_status()
            health.append(time.perf_counter() - began)
            await asyncio.sleep(0.2)

    limits = httpx.Limits(max_connections=clients + 1)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
        await asyncio.gather(look(client), *(ask(client) for _ in range(clients)))
    return statuses, health


def overheads(client: httpx.Client) -> tuple[list[float], list[float]]:
    """Seconds of single requests beside their runs, and until the first event of jobs."""
    beside, first = [], []
    for _ in range(SEQUENTIAL):
        began = time.perf_counter()
        client.post("/v1/images/generations", json=ASK).raise_for_status()
        taken = time.perf_counter() - began
        beside.append(taken - client.get("/v1/jobs").json()["jobs"][0]["elapsed"])
        id = client.post("/v1/jobs", json=ASK).json()["id"]
        began = time.perf_counter()
        with client.stream("GET", f"/v1/jobs/{id}/events") as events:
            for _ in events.iter_lines():
                first.append(time.perf_counter() - began)
                break
        _state(client, id)
    return beside, first


def cancels(client: httpx.Client, chance: random.Random) -> tuple[list[float], int]:
    """Seconds until jobs that were cancelled at random times had ended, and changed pictures."""
    expected = client.post("/v1/images/generations", json=ASK).json()["data"]
    taken, changed = [], 0
    for _ in range(CANCELS):
        id = client.post("/v1/jobs", json=LONG).json()["id"]
        time.sleep(chance.uniform(0, 0.5))
        began = time.perf_counter()
        client.delete(f"/v1/jobs/{id}").raise_for_status()
        assert _state(client, id) == "cancelled"
        taken.append(time.perf_counter() - began)
        changed += client.post("/v1/images/generations", json=ASK).json()["data"] != expected
    return taken, changed


def _state(client: httpx.Client, id: str) -> str:
    """How a job ended."""
    events: list[str] = re.findall(
        r"^event: (.*)$", client.get(f"/v1/jobs/{id}/events").text, re.MULTILINE
    )
    return events[-1]


def _resident(client: httpx.Client) -> float:
    """Bytes of the server's process, as it says itself."""
    match = re.search(r"^sdrt_resident_bytes (\S+)$", client.get("/metrics").text, re.M)
    assert match
    return float(match[1])


def measure(threads: int, clients: int, seconds: float) -> Load:
    """Everything, in turns."""
    pipe = sdrt.load(threads=threads)
    pipe(**ASK)
    with served(threads) as url, httpx.Client(base_url=url, timeout=120) as client:
        client.post("/v1/images/generations", json=ASK).raise_for_status()
        before = _resident(client)
        loops = [loop(pipe, seconds / 2)]
        statuses, health = asyncio.run(hammer(url, clients, seconds))
        loops.append(loop(pipe, seconds / 2))
        beside, first = overheads(client)
        ended, changed = cancels(client, random.Random(0))
        after = _resident(client)
    looped, made = statistics.mean(loops), statuses["200"] / seconds
    return Load(
        processor=machine.processor(),
        threads=threads,
        seconds=seconds,
        clients=clients,
        loop_per_s=looped,
        served_per_s=made,
        answers=dict(statuses),
        throughput=made / looped,
        overhead_ms=1000 * statistics.median(beside),
        first_event_ms=1000 * statistics.median(first),
        health_p99_ms=1000 * statistics.quantiles(health, n=100)[98],
        cancel_p50_ms=1000 * statistics.median(ended),
        cancel_max_ms=1000 * max(ended),
        changed_after_cancel=changed,
        resident_mb=(before / 1e6, after / 1e6),
    )


@click.command()
@click.argument("record", required=False, type=click.Path(path_type=Path))
@click.option("--threads", default=2, show_default=True)
@click.option("--clients", default=64, show_default=True)
@click.option("--seconds", default=120.0, show_default=True, help="Under load.")
def main(record: Path | None, threads: int, clients: int, seconds: float) -> None:
    """Measure a server under load, and print a JSON record of it."""
    text = json.dumps(asdict(measure(threads, clients, seconds)), indent=1)
    click.echo(text)
    if record:
        with whole_file(record) as partial:
            partial.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
