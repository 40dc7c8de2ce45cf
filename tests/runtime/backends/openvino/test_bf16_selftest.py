"""bf16 is tried before it is trusted: once for a processor and an engine, and never in silence."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends.openvino.backend import OpenVinoBackend
from sdrt.backends.openvino.bf16_selftest import (
    LAYERS,
    ProbeLayer,
    Settings,
    Setup,
    Verdict,
    recall,
)
from sdrt.diagnostics import doctor
from sdrt.diagnostics.verify import seeded_feeds
from sdrt.machine import has_bf16
from sdrt.manifest import Precision
from sdrt.pipeline import Pipeline


class Engine:
    """Runs layers as it was told to, and counts them."""

    def __init__(self, bf16: Callable[[Array], Array]) -> None:
        self.bf16, self.runs = bf16, 0

    def __call__(self, core: ov.Core, device: str, settings: Settings, layer: ProbeLayer) -> Array:
        self.runs += 1
        right = next(iter(layer.feeds.values()))
        return self.bf16(right) if settings["INFERENCE_PRECISION_HINT"] == "bf16" else right


def rounding(right: Array) -> Array:
    return right * np.float32(1.001)


def wrong(right: Array) -> Array:
    return np.random.default_rng(1).standard_normal(right.shape, np.float32) * 5


def failing(right: Array) -> Array:
    raise RuntimeError("could not create a primitive")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, on a processor that has bf16."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(OpenVinoBackend, "has_bf16", True)
    return tmp_path


def hint(backend: OpenVinoBackend, stored: Precision = "bf16") -> object:
    return backend.settings(stored)["INFERENCE_PRECISION_HINT"]


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16 arithmetic")
def test_this_machine_passes_with_a_margin() -> None:
    verdict = OpenVinoBackend().examine()
    assert set(verdict.figures) == set(LAYERS)
    assert all(45 < db < 70 for db in verdict.figures.values())  # bf16, and not fp32 unnoticed


@pytest.mark.parametrize("precision", [None, "bf16", "int8"])
def test_a_right_engine_executes_bf16(cache: Path, precision: Precision | None) -> None:
    backend = OpenVinoBackend(precision=precision, run_layer=Engine(rounding))
    assert hint(backend) == "bf16"
    assert backend.warnings("bf16") == ()


@pytest.mark.parametrize(
    "bf16",
    [
        pytest.param(wrong, id="noise"),
        pytest.param(lambda right: right * np.float32("nan"), id="NaN"),
        pytest.param(lambda right: np.full_like(right, np.inf), id="infinity"),
        pytest.param(lambda right: right * np.float32(0.9), id="too small by a tenth"),
        pytest.param(failing, id="an exception"),
    ],
)
def test_a_wrong_engine_executes_fp32_and_says_so(
    cache: Path, bf16: Callable[[Array], Array]
) -> None:
    backend = OpenVinoBackend(precision="bf16", run_layer=Engine(bf16))
    assert hint(backend) == "f32"
    (warning,) = backend.warnings("bf16")
    assert "computes wrong in bf16" in warning
    assert "matrix product of 320" in warning
    again = OpenVinoBackend(precision="bf16", run_layer=Engine(rounding))
    assert hint(again) == "f32"  # a wrong verdict is remembered like a right one


@pytest.mark.slow
@pytest.mark.parametrize("precision", [None, "bf16"])
def test_the_warning_reaches_whoever_generates(
    cache: Path, demo: Artifact, precision: Precision | None
) -> None:
    backend = OpenVinoBackend(precision=precision, run_layer=Engine(wrong))
    result = Pipeline(demo, backend)("a red boat", seed=1, num_inference_steps=1)
    assert result.parameters[0].executed_precision == "fp32"
    assert any("computes wrong in bf16" in warning for warning in result.warnings)


def test_a_network_on_a_wrong_engine_gives_what_fp32_gives(cache: Path, demo: Artifact) -> None:
    def states(backend: OpenVinoBackend) -> Array:
        graph = backend.open(demo.network("text_encoder", backend.formats))
        return graph.run(seeded_feeds(demo, "text_encoder"))["last_hidden_state"]

    fallen_back = states(OpenVinoBackend(precision="bf16", run_layer=Engine(wrong)))
    np.testing.assert_array_equal(fallen_back, states(OpenVinoBackend(precision="fp32")))


def test_whoever_wants_fp32_waits_for_no_test(cache: Path) -> None:
    engine = Engine(wrong)
    assert hint(OpenVinoBackend(precision="fp32", run_layer=engine)) == "f32"
    assert hint(OpenVinoBackend(run_layer=engine), stored="fp32") == "f32"
    assert engine.runs == 0


def test_the_verdict_is_found_once_for_all_processes(cache: Path) -> None:
    engine = Engine(rounding)
    first, second = (OpenVinoBackend(precision="bf16", run_layer=engine) for _ in range(2))
    assert hint(first) == hint(first) == "bf16"
    assert engine.runs == 2 * len(LAYERS)
    assert hint(second) == "bf16"
    assert engine.runs == 2 * len(LAYERS)


@pytest.mark.parametrize(
    "change",
    [
        {"engine": "2027.1"},
        {"processor": "another"},
        {"instruction_sets": ("avx512f", "avx512_bf16", "amx_bf16")},
        {"limit": "AVX512_CORE_BF16"},
        {"version": 0},
        {"device": "GPU"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_machine_or_engine_is_tried_anew(cache: Path, change: dict[str, object]) -> None:
    known: dict[str, object] = {"device": "CPU", "engine": "2026.4"}
    right, bad = (Verdict(dict.fromkeys(LAYERS, db)) for db in (50.0, -14.0))
    assert recall(Setup(**known), lambda: bad) == bad  # type: ignore[arg-type]
    assert recall(Setup(**known), lambda: right) == bad  # type: ignore[arg-type]
    assert recall(Setup(**{**known, **change}), lambda: right) == right  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"figures": 3}', '{"figures": {}}', "\udcff", "[" * 100_000],
    ids=repr,
)
def test_a_broken_verdict_is_found_anew(cache: Path, content: str) -> None:
    engine = Engine(rounding)
    assert hint(OpenVinoBackend(run_layer=engine)) == "bf16"
    (file,) = (cache / "sdrt" / "selftest").iterdir()
    file.write_text(content, encoding="utf-8", errors="surrogateescape")
    assert hint(OpenVinoBackend(run_layer=engine)) == "bf16"
    assert engine.runs == 4 * len(LAYERS)
    assert hint(OpenVinoBackend(run_layer=engine)) == "bf16"  # what was found is kept again
    assert engine.runs == 4 * len(LAYERS)


def test_no_cache_is_no_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache / "file"))
    engine = Engine(rounding)
    for _ in range(2):
        assert hint(OpenVinoBackend(run_layer=engine)) == "bf16"
    assert engine.runs == 4 * len(LAYERS)


@pytest.mark.slow
def test_doctor_tries_anew_and_says_what_is_wrong(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {**dict.fromkeys(LAYERS, 50.0), "matrix product of 320": -14.0}
    assert hint(OpenVinoBackend(run_layer=Engine(rounding))) == "bf16"
    monkeypatch.setattr(OpenVinoBackend, "examine", lambda _: Verdict(figures))
    report = doctor.examine()["self-test"]
    assert report["openvino bf16, attention"] == "right: 50.0 dB"
    assert report["openvino bf16, matrix product of 320"] == "WRONG: -14.0 dB"
    assert "so networks run in fp32" in report["openvino bf16"]
