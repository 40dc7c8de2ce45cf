"""The time of each run of a network is measured, at almost no cost."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend, Fault
from sdrt.diagnostics.verify import seeded_feeds
from sdrt.errors import NonFiniteError
from sdrt_bench.bench.timed_backend import TimedBackend


class Clock:
    """Goes on by one second whenever it is read."""

    def __init__(self) -> None:
        self.readings = 0

    def __call__(self) -> float:
        self.readings += 1
        return float(self.readings)


def zeros(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
    return {"out_sample": np.zeros_like(feeds["sample"])}


def test_a_run_costs_two_readings_of_the_clock_and_gives_what_the_engine_gives(
    demo: Artifact,
) -> None:
    clock, fake = Clock(), FakeBackend(zeros)
    backend = TimedBackend(fake, clock=clock)
    graph = backend.open(demo.network("unet", backend.formats))
    feeds = seeded_feeds(demo, "unet")
    for runs in (1, 2, 3):
        outputs = graph.run(feeds)
        assert clock.readings == 2 * runs
        assert backend.times.seconds == {"unet": runs}
    np.testing.assert_array_equal(outputs["out_sample"], zeros("unet", feeds)["out_sample"])
    assert fake.ran == ["unet"] * 3


def test_it_reports_of_the_network_what_the_engine_reports(demo: Artifact) -> None:
    backend = TimedBackend(FakeBackend(zeros, precision="bf16", threads=3))
    assert (backend.name, backend.threads, backend.precision) == ("fake", 3, "bf16")
    graph = backend.open(demo.network("unet", backend.formats))
    assert graph.executed().precision == "bf16"
    assert backend.times.graphs == {"unet": graph}
    wider = backend.in_fp32(graph.network)
    assert wider is not None
    assert wider.times is backend.times
    assert wider.open(graph.network).executed().precision == "fp32"
    assert (
        replace(backend, inner=FakeBackend(zeros, precision="fp32")).in_fp32(graph.network) is None
    )


def test_other_networks_are_not_kept_in_memory(demo: Artifact) -> None:
    backend = TimedBackend(FakeBackend(zeros))
    backend.open(demo.network("text_encoder", backend.formats))
    assert backend.times.graphs == {}


def test_a_run_that_fails_is_not_counted(demo: Artifact) -> None:
    fault = Fault("unet", precisions=("bf16",))
    backend = TimedBackend(FakeBackend(zeros, faults=[fault]))
    graph = backend.open(demo.network("unet", backend.formats))
    with pytest.raises(NonFiniteError):
        graph.run(seeded_feeds(demo, "unet"))
    assert backend.times.seconds == {}
