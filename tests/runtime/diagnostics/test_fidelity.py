"""What a precision costs is measured: each network as it runs, against the same one in fp32."""

import json
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends import Network, open_backend
from sdrt.backends.fake import FakeBackend, FakeGraph
from sdrt.diagnostics import fidelity
from sdrt.diagnostics.fidelity import Comparison, compare_with, parse_timesteps
from sdrt.errors import UsageError
from sdrt.machine import has_bf16
from sdrt.manifest import Precision

OUTPUTS = {"text_encoder": "last_hidden_state", "unet": "out_sample"}


def engine(error: Callable[[str, float], float] = lambda name, timestep: 0.0) -> FakeBackend:
    """Gives waves, larger by a share that depends on network and timestep."""

    def compute(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        timestep = float(feeds.get("timestep", np.array(0)))
        shape = (1, 77, 128) if name == "text_encoder" else (1, 4)
        values = np.cos(np.arange(np.prod(shape)) + timestep).reshape(shape)
        values = values * (1 + error(name, timestep))
        return {OUTPUTS.get(name, "sample"): values.astype(np.float32)}

    return FakeBackend(compute)


def comparison(artifact: Artifact, backend: FakeBackend, **other: object) -> Comparison:
    parts = {"other": artifact, "reference": engine(), "timesteps": (1, 981.5), "size": (64, 64)}
    return Comparison(artifact, backend, **{**parts, **other})  # type: ignore[arg-type]


def changed(artifact: Artifact, name: str, change: dict[str, object] | None) -> Artifact:
    """The same with another graph of that name, or none."""
    graphs = dict(artifact.manifest.graphs)
    graph = graphs.pop(name)
    if change is not None:
        graphs[name] = graph.model_copy(update=change)
    return replace(artifact, manifest=artifact.manifest.model_copy(update={"graphs": graphs}))


def test_each_network_has_its_own_figure_and_the_unet_one_for_each_timestep(
    demo: Artifact,
) -> None:
    backend = engine(lambda name, timestep: {1: 1e-2, 981.5: 1e-1}.get(timestep, 0.0))
    report = comparison(demo, backend).measure()
    assert report.graphs["unet"].by_timestep == pytest.approx({"1": 40.0, "981.5": 20.0})
    assert report.graphs["unet"].snr_db == pytest.approx(20.0)
    assert report.graphs["text_encoder"].by_timestep == {}
    assert report.to_record()["graphs"]["text_encoder"]["snr_db"] is None  # equal: no noise at all
    text = report.to_text()
    assert "timestep" in text
    assert "981.5" in text
    assert "equal" in text


def test_the_unet_is_told_what_the_text_encoder_says_of_a_prompt(demo: Artifact) -> None:
    seen: list[Array] = []
    reference = engine()

    def watch(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name == "unet":
            seen.append(feeds["encoder_hidden_states"])
        return reference.compute(name, feeds)

    comparison(demo, FakeBackend(watch), reference=reference).measure()
    said = reference.compute("text_encoder", {})["last_hidden_state"]
    assert len(seen) == 2 * len(fidelity.PROMPTS)
    assert all(np.array_equal(states, said) for states in seen)


def test_one_network_is_in_memory_at_a_time(demo: Artifact) -> None:
    opened: list[weakref.ref[FakeGraph]] = []

    class Watched(FakeBackend):
        def open(self, network: Network) -> FakeGraph:
            assert not [graph for graph in opened if graph() is not None]
            graph = super().open(network)
            opened.append(weakref.ref(graph))
            return graph

    backend, other = (Watched(engine().compute) for _ in range(2))
    comparison(demo, backend, reference=other).measure()
    assert len(opened) == 2 * len(demo.manifest.graphs)


def test_a_network_in_int8_waits_for_an_fp32_export(demo: Artifact) -> None:
    quantized = changed(demo, "unet", {"precision": "int8"})
    report = comparison(quantized, engine()).measure()
    assert set(report.graphs) == set(demo.manifest.graphs) - {"unet"}
    assert report.notes == ["unet is stored in int8: name an fp32 export by --against"]
    report = comparison(quantized, engine(), other=demo).measure()
    assert report.graphs["unet"].stored == "int8"
    assert report.notes == []
    assert str(demo.root) in report.to_text()


def test_onnxruntime_alone_has_nothing_to_compare_with(
    demo: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = open_backend("onnxruntime")
    assert compare_with(demo, backend).reference.name == "openvino"  # type: ignore[union-attr]
    monkeypatch.setattr(fidelity, "is_installed", lambda name: False)
    report = compare_with(demo, backend).measure()
    assert report.graphs == {}
    assert "nothing to compare with" in report.to_text()


def test_another_export_is_compared_on_the_same_engine(demo: Artifact) -> None:
    pair = compare_with(demo, open_backend("onnxruntime"), against=demo.root)
    assert pair.reference is not None
    assert pair.reference.name == "onnxruntime"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": ()}, "vae_decoder, .* with other inputs or outputs"),
        ({"precision": "int8"}, "vae_decoder in int8; expected an export in fp32 or bf16"),
        (None, "vae_decoder, .* has none; expected another export of the same model"),
    ],
)
def test_what_is_no_export_of_the_model_in_float_is_no_reference(
    demo: Artifact,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, object] | None,
    message: str,
) -> None:
    other = changed(demo, "vae_decoder", change)
    monkeypatch.setattr(fidelity, "open_artifact", lambda where: other)
    with pytest.raises(UsageError, match=message):
        compare_with(demo, engine(), against="x")


@pytest.mark.parametrize("text", ["", "1,,2", "one", "1;2"])
def test_timesteps_that_are_no_numbers_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected numbers such as"):
        parse_timesteps(text)


@pytest.mark.parametrize("timesteps", [(-1,), (1, 999.5), (float("nan"),), (float("inf"),)])
def test_timesteps_out_of_the_training_are_refused(
    demo: Artifact, timesteps: tuple[float, ...]
) -> None:
    with pytest.raises(UsageError, match="from 0 to 999"):
        compare_with(demo, open_backend("onnxruntime"), timesteps)


def test_default_timesteps_are_those_of_the_training(demo: Artifact) -> None:
    schedule = demo.manifest.schedule.model_copy(update={"train_steps": 600})
    manifest = demo.manifest.model_copy(update={"schedule": schedule})
    short = replace(demo, manifest=manifest)
    backend = open_backend("onnxruntime")
    assert compare_with(short, backend).timesteps == (1, 21, 250, 500)
    assert compare_with(demo, backend, (5, 981.5, 5)).timesteps == (5, 981.5)


@pytest.mark.parametrize("size", [(100, 128), (128, 8)])
def test_sizes_that_no_picture_has_are_refused(demo: Artifact, size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="expected a multiple of 8"):
        compare_with(demo, open_backend("onnxruntime"), size=size)


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16 arithmetic")
@pytest.mark.parametrize(("precision", "least", "most"), [("bf16", 45, 70), ("fp32", 300, np.inf)])
def test_the_embedded_model_as_openvino_runs_it(
    demo: Artifact, precision: Precision, least: float, most: float
) -> None:
    backend = open_backend("openvino", precision=precision)
    report = compare_with(demo, backend, (1, 999)).measure()
    assert {graph.executed for graph in report.graphs.values()} == {precision}
    assert {graph.reference for graph in report.graphs.values()} == {"fp32"}
    assert list(report.graphs["unet"].by_timestep) == ["1", "999"]
    assert all(least < graph.snr_db <= most for graph in report.graphs.values())
    json.dumps(report.to_record(), allow_nan=False)
