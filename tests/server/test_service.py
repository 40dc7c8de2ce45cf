import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sdrt import machine
from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.errors import OutOfMemoryError, UsageError
from sdrt.images.png import png_bytes
from sdrt.manifest import TINY_DECODER
from sdrt.memory.budget import Budget
from sdrt.networks.open_model import KEPT_BY_MANY
from sdrt.pipeline import Pipeline, load
from sdrt.request.options import Options
from sdrt_server.errors import InternalError, UnknownModelError
from sdrt_server.jobs.job import Job
from sdrt_server.limits import Limits
from sdrt_server.models.adapter_files import AdapterFiles
from sdrt_server.server import open_port
from sdrt_server.service import Ask, Service
from tests.runtime.fakes import pretend_demo, pretend_tiny
from tests.runtime.memory.test_estimate import GB, WEIGHTS, sd15
from tests.server.jobs.test_queue import wait_for

SMALL: Options = {"width": 64, "height": 64, "num_inference_steps": 3}
LIMITS = Limits(max_pixels=128 * 128, max_steps=6, max_images=2, max_prompt=20)


def made(service: Service, ask: Ask) -> Job:
    """The job of an ask, once it has ended."""
    job = service.submit(ask)
    wait_for(lambda: job.progress.is_final)
    return job


def test_a_job_gives_the_picture_that_the_pipeline_makes(service: Service, pipe: Pipeline) -> None:
    two: Options = {**SMALL, "seed": 3, "num_images_per_prompt": 2}
    job = made(service, Ask("a boat", two))
    result = pipe("a boat", **two)
    assert job.outcome
    expected = map(png_bytes, result.images, result.parameters)
    assert [picture.png for picture in job.outcome.pictures] == list(expected)
    assert len(job.outcome.timings.step_s) == 3


@pytest.mark.parametrize(
    ("options", "message", "option"),
    [
        ({"width": 256, "height": 256}, "65536 pixels; this server allows 16384", "width"),
        ({"hires": 2.0, "width": 128, "height": 128}, "65536 pixels", "width"),
        ({"num_inference_steps": 7}, "7 steps; this server allows 6", "num_inference_steps"),
        ({"num_images_per_prompt": 3}, "3 pictures", "num_images_per_prompt"),
        ({"negative_prompt": "x" * 21}, "21 characters", "negative_prompt"),
        ({"width": 65}, "width is 65; expected a multiple of 8", "width"),
        ({"sampler": "eulr"}, "did you mean 'euler'", "sampler"),
    ],
)
def test_what_is_over_a_limit_or_wrong_is_refused_and_named(
    pipe: Pipeline, options: Options, message: str, option: str
) -> None:
    service = Service({"tiny": pipe}, LIMITS)
    small: Options = {"width": 64, "height": 64, "num_inference_steps": 2}
    with pytest.raises(UsageError, match=message) as caught:
        service.submit(Ask("x", {**small, **options}))
    assert caught.value.option == option
    assert service.queue.jobs() == []
    service.queue.stop()


def test_a_model_that_the_server_does_not_have_is_named(service: Service) -> None:
    with pytest.raises(
        UnknownModelError, match="unknown model 'tinny'; known: tiny; did you mean 'tiny'"
    ):
        service.submit(Ask("x", model="tinny"))


def test_adapters_are_found_by_name_in_their_folder_only(service: Service, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"")
    service.loras = AdapterFiles("LoRA", tmp_path)
    for name in ("../a", "/etc/passwd", f"{tmp_path}/a", "b", ""):
        with pytest.raises(UsageError, match="unknown LoRA") as caught:
            service.submit(Ask("x", loras=[(name, 1.0)]))
        assert caught.value.option == "loras"
    with pytest.raises(UsageError, match="this server has no embeddings"):
        service.submit(Ask("x", embeddings=["a"]))
    with pytest.raises(Exception, match="a.safetensors"):
        service.submit(Ask("x", loras=[("a", 1.0)]))


def test_previews_that_the_model_does_not_have_are_refused(service: Service) -> None:
    with pytest.raises(UsageError, match="'tiny' has no previews 'tae'; it has: .*none"):
        service.submit(Ask("x", preview="tae"))


def test_what_cannot_fit_is_refused_before_it_waits(tiny: Artifact) -> None:
    pipe = load(tiny.root, max_memory=machine.resident_bytes() + 2**20)
    service = Service({"tiny": pipe})
    with pytest.raises(OutOfMemoryError, match="would need about"):
        service.submit(Ask("x", SMALL))
    assert service.queue.jobs() == []
    service.queue.stop()


def test_a_machine_without_enough_memory_is_told_from_one_that_is_full(
    tiny: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service({"tiny": load(tiny.root)})
    total = 8 * 10**9
    monkeypatch.setattr(machine, "memory_bytes", lambda: (total, 1))
    job = made(service, Ask("x", SMALL))  # fits the machine, and not what is left
    assert isinstance(job.error, OutOfMemoryError)
    monkeypatch.setattr(machine, "memory_bytes", lambda: (2**20, 2**20))
    with pytest.raises(OutOfMemoryError, match="this machine has 0.00 GB"):
        service.submit(Ask("x", SMALL))
    service.queue.stop()


@pytest.fixture
def large(demo: Artifact, monkeypatch: pytest.MonkeyPatch) -> dict[str, Pipeline]:
    """Three models with files as large as Stable Diffusion 1.5's, 10 GB of memory allowed.

    Two fit. An engine that computes nothing stands in for theirs, so what they would take is added
    to what the process has.
    """
    manifest = sd15(demo, "fp32").manifest
    artifact = replace(demo, manifest=manifest)
    pipes = {
        name: Pipeline(
            artifact,
            FakeBackend(pretend_demo, name="onnxruntime"),
            keep=KEPT_BY_MANY,
            max_memory="10G",
        )
        for name in "abc"
    }

    def resident_bytes() -> int:
        networks = (network for pipe in pipes.values() for network in pipe.loaded)
        return GB // 10 + sum(4 * WEIGHTS[network] for network in networks)

    monkeypatch.setattr(Artifact, "check", lambda self, file, remember=True: self.root / file)
    monkeypatch.setattr(machine, "resident_bytes", resident_bytes)
    monkeypatch.setattr(machine, "memory_bytes", lambda: (64 * GB, 64 * GB))
    return pipes


def test_the_model_used_least_recently_leaves_memory_first(large: dict[str, Pipeline]) -> None:
    service = Service(large)
    loaded: list[str] = []
    for name in "abacb":
        assert made(service, Ask("x", SMALL, model=name)).error is None
        loaded.append("".join(other for other, pipe in large.items() if pipe.loaded))
    assert loaded == ["a", "ab", "ab", "ac", "bc"]
    service.queue.stop()


def test_previews_count_at_the_door(demo: Artifact, large: dict[str, Pipeline]) -> None:
    """A decoder for previews is in memory while the U-Net is."""
    graphs = large["a"].manifest.graphs
    with_tiny = {**graphs, TINY_DECODER: graphs["vae_decoder"]}
    manifest = large["a"].manifest.model_copy(update={"graphs": with_tiny})
    options: Options = {"width": 512, "height": 512, "num_inference_steps": 1}
    backend = FakeBackend(pretend_demo, name="onnxruntime")
    run = Pipeline(replace(demo, manifest=manifest), backend).start("x", **options)
    service = Service({"a": Pipeline(replace(demo, manifest=manifest), backend)})
    limit = service.shelf.empty_bytes + run.plan.peak()[1] + GB // 10
    service.shelf.find("a").pipe.budget = Budget(limit)
    assert service.submit(Ask("x", options, preview="proj"))
    with pytest.raises(OutOfMemoryError, match="previews need the U-Net and vae_decoder_tiny"):
        service.submit(Ask("x", options, preview="tae"))
    service.queue.stop()


def test_a_mistake_in_sdrt_is_one_job_s_end_with_its_details_in_the_log(
    tiny: Artifact, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(name: str, feeds: object) -> dict[str, np.ndarray]:
        raise ZeroDivisionError("a secret")

    service = Service({"tiny": Pipeline(tiny, FakeBackend(broken))})
    job = made(service, Ask("a prompt to keep", SMALL))
    assert isinstance(job.error, InternalError)
    assert "secret" not in str(job.error)
    assert "ZeroDivisionError: a secret" in caplog.text
    assert "a prompt to keep" not in caplog.text
    service.queue.stop()


def test_a_refiner_has_to_be_another_model_of_the_server(service: Service) -> None:
    with pytest.raises(UsageError, match="cannot be its own refiner"):
        service.submit(Ask("x", refiner="tiny"))
    with pytest.raises(UsageError, match="without a refiner"):
        service.submit(Ask("x", refiner_start=0.5))


def test_a_refiner_makes_the_last_steps(tiny: Artifact) -> None:
    pipes = {name: Pipeline(tiny, FakeBackend(pretend_tiny)) for name in ("base", "refiner")}
    service = Service(pipes)
    ask = Ask("x", {**SMALL, "seed": 1}, refiner="refiner", refiner_start=0.5)
    job = made(service, ask)
    assert job.outcome, job.error
    assert job.outcome.pictures[0].parameters
    assert job.outcome.pictures[0].parameters.denoising_range
    service.queue.stop()


def test_small_answers_are_not_held_back() -> None:
    """Asyncio turns Nagle's algorithm off only for sockets that name their protocol."""
    with open_port("127.0.0.1", 0) as listening:
        with socket.create_connection(listening.getsockname()):
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.proto == socket.IPPROTO_TCP
