"""Statistics of a calibration: of every tensor, over all timesteps, and read as written."""

import json
from pathlib import Path

import numpy as np
import pytest

from sdrt.artifact import Artifact
from sdrt.backends import open_backend
from sdrt.errors import UsageError, WriteError
from sdrt.pipeline import Pipeline
from sdrt_export.quantization import calibration
from sdrt_export.quantization.calibration import HELD_OUT, PROMPTS, CalibrationSettings
from sdrt_export.quantization.layers import find_layers
from sdrt_export.quantization.observation import (
    SAMPLES,
    SEEN,
    SHAPE,
    Calibration,
    observe,
    read_calibration,
    write_calibration,
)
from tests.export.quantization.small_networks import run, small_network
from tests.export.quantization.test_ranges import statistics_of


def test_statistics_of_two_runs_are_those_of_all_values() -> None:
    rng = np.random.default_rng(4)
    runs = [rng.normal(0, 1, 10_000), rng.normal(3, 2, 10_000)]
    added = statistics_of(runs[0]).add(statistics_of(runs[1]))
    both = np.concatenate(runs)
    assert (added.low, added.high) == pytest.approx((both.min(), both.max()), rel=1e-6)
    assert added.counts.sum() == 2 * (SAMPLES + 2)
    assert added.mean_square() == pytest.approx(float((both**2).mean()), rel=0.05)


def test_an_observed_graph_tells_of_its_tensors_and_computes_the_same(tmp_path: Path) -> None:
    model = small_network()
    feeds = {"x": np.random.default_rng(5).standard_normal((2, 16, 8, 8)).astype(np.float32)}
    expected = run(model, feeds, tmp_path)["y"]
    observe(model, [layer.input for layer in find_layers(model.graph)])
    outputs = run(model, feeds, tmp_path)
    np.testing.assert_array_equal(outputs["y"], expected)
    seen, shape = outputs[f"x{SEEN}"], outputs[f"x{SHAPE}"]
    assert shape.tolist() == [2, 16, 8, 8]
    assert (seen[0], seen[1]) == (feeds["x"].min(), feeds["x"].max())
    assert np.isin(seen, feeds["x"]).all()
    assert abs(seen[2:].mean() - feeds["x"].mean()) < 0.05


def test_a_calibration_is_read_as_it_was_written(tmp_path: Path) -> None:
    statistics = {"x": statistics_of(np.random.default_rng(6).standard_normal(500))}
    made = Calibration("model", ("a boat",), 1, 4, 7, {"unet": statistics})
    file = tmp_path / "statistics.json"
    write_calibration(made, file)
    assert list(tmp_path.iterdir()) == [file]
    read = read_calibration(file)
    assert (read.model, read.prompts) == ("model", ("a boat",))
    assert (read.samples, read.steps, read.seed) == (1, 4, 7)
    histogram, other = made.networks["unet"]["x"], read.networks["unet"]["x"]
    np.testing.assert_allclose(histogram.counts, other.counts, atol=1e-3)
    assert (histogram.low, histogram.high, histogram.shape) == (other.low, other.high, other.shape)


def test_a_calibration_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="statistics.json"):
        write_calibration(Calibration("m", (), 0, 1, 0), tmp_path / "none" / "statistics.json")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"schema": 9}', b"\xff\xfe", b'{"schema": 1, "networks": []}']
)
def test_what_is_no_calibration_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "statistics.json"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="statistics.json"):
        read_calibration(file)


def test_a_damaged_histogram_is_found(tmp_path: Path) -> None:
    statistics = {"x": statistics_of(np.random.default_rng(6).standard_normal(500))}
    record = json.loads(Calibration("m", (), 0, 1, 0, {"unet": statistics}).to_json())
    record["networks"]["unet"]["x"]["counts"].pop()
    file = tmp_path / "statistics.json"
    file.write_text(json.dumps(record))
    with pytest.raises(UsageError, match="damaged"):
        read_calibration(file)


def test_samples_cover_the_timesteps_evenly(
    demo: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    timesteps = timesteps_of(demo, CalibrationSettings(samples=4, steps=5))
    later = sorted(t for t in timesteps if t < 999)
    assert timesteps.count(999) == 4
    assert len(set(later)) == 16
    gaps = np.diff(later)
    assert gaps.max() < 3 * gaps.min()


def timesteps_of(artifact: Artifact, sampling: CalibrationSettings) -> list[float]:
    """What the samples tell the U-Net."""
    timesteps = []
    pipeline = Pipeline(artifact, open_backend("onnxruntime"))
    for prompt, seed, share in calibration._samples(sampling):
        request = pipeline.start(prompt, seed=seed, num_inference_steps=sampling.steps).request
        steps = calibration.moved_steps(request.steps(pipeline.training_noise), share)
        timesteps += steps.timesteps.tolist()
    return timesteps


def test_of_a_large_array_the_middle_is_taken_and_a_small_one_is_whole() -> None:
    array = np.arange(2 * 3 * 8 * 5).reshape(2, 3, 8, 5)
    np.testing.assert_array_equal(calibration.middle(array, 4), array[:, :, 2:6, 0:4])
    for most in (16, None):
        assert calibration.middle(array, most).shape == array.shape


def test_the_held_out_prompt_is_not_among_the_samples() -> None:
    assert HELD_OUT not in PROMPTS
