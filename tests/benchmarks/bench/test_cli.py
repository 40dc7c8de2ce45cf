"""`sdrt bench` from outside."""

import json
import tomllib
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sdrt.errors import SdrtError, UsageError
from sdrt_bench.bench.cli import bench
from sdrt_bench.bench.options import read_list, read_size
from sdrt_bench.bench.record import read_record

ROOT = Path(__file__).parents[3]
FAST = ("--steps", "3", "--size", "64", "--no-probe", "--no-fidelity", "--repeat", "1", "-t", "1")


def run(*arguments: str) -> None:
    bench.main([*arguments], standalone_mode=False)


def test_the_package_offers_the_command() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    value = project["entry-points"]["sdrt.commands"]["bench"]
    assert EntryPoint("bench", value, "sdrt.commands").load() is bench


@pytest.mark.slow
def test_the_embedded_model_in_every_precision_on_every_engine(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    run(*FAST, "-q", "-o", str(file))
    record = read_record(file)
    cells = record.benchmarks
    assert {(benchmark.params.backend, benchmark.params.precision) for benchmark in cells} >= {
        ("openvino", "fp32"),
        ("onnxruntime", "fp32"),
    }
    for cell in cells:
        assert cell.status == "ok"
        assert cell.precision is not None
        assert cell.precision.executed == cell.params.precision
        assert cell.image
        assert cell.compute is not None
        assert (cell.compute.achieved_gflops or 0) > 0
        assert cell.fidelity is not None
        assert cell.fidelity.reference == cells[0].name
        assert len(cell.fidelity.latent_psnr_db) == 3
    ort = next(benchmark for benchmark in cells if benchmark.params.backend == "onnxruntime")
    assert ort.fidelity is not None
    assert min(db for db in ort.fidelity.latent_psnr_db if db is not None) > 60
    assert (ort.fidelity.image_ssim or 0) > 0.999
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.slow
def test_a_sweep_of_one_engine_with_peaks_networks_and_its_line(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    options = ("--backend", "onnxruntime", "--precision", "fp32", "--steps", "2", "--size", "64")
    run(*options, "--batch", "1,2", "--sweep", "batch", "--repeat", "1", "--accuracy", "0", "-q")
    (written,) = [path for path in Path().glob("sdrt-bench-*.json")]
    written.rename(file)
    record = read_record(file)
    assert {(peak.backend, peak.precision, peak.kind) for peak in record.machine_info.peaks} == {
        ("onnxruntime", "fp32", "gemm"),
        ("onnxruntime", "fp32", "conv"),
    }
    (line,) = record.scaling
    assert line.x == (1, 2)
    for cell in record.benchmarks:
        assert cell.compute is not None
        assert 0 < (cell.compute.share_of_peak or 0)
        assert cell.fidelity is not None
        assert set(cell.fidelity.sqnr_db) == {"text_encoder", "unet", "vae_decoder"}
        assert min(db for db in cell.fidelity.sqnr_db.values() if db is not None) > 60


def test_the_schema_is_printed_and_nothing_is_measured() -> None:
    done = CliRunner().invoke(bench, ["--schema"])
    schema = json.loads(done.output)
    assert schema["title"] == "Record"
    assert "schema" in schema["properties"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere"], 3, "there is no folder nowhere"),
        (["."], 3, "is an empty folder"),
        (["--precision", "bf16", "--backend", "onnxruntime"], 9, "demo onnxruntime bf16: onnx"),
        (["--precision", "int8"], 9, "the model is stored in bf16; add an export"),
        (["--precision", "fp7"], 2, "unknown precision 'fp7'"),
        (["--backend", "tpu"], 2, "unknown backend 'tpu'"),
        (["--size", "64,x"], 2, "--size is '64,x'; expected a list such as 512x512,768"),
        (["--steps", "0"], 2, "steps is 0"),
        (["--threads", "two"], 2, "--threads is 'two'; expected a list"),
        (["--repeat", "0"], 2, "repeat is 0"),
        (["--output", "a/b.json"], 2, "cannot write a/b.json: there is no folder a"),
        (["--html", "."], 2, "it is a folder"),
        (["--random"], 2, "--random was given without --preset"),
        (["demo", "--preset", "tiny"], 2, "both artifacts and --preset were given"),
        (["--preset", "none", "--random"], 2, "none"),
        (["--resume", "none.json"], 2, "cannot read none.json"),
        (["--redo-noisy"], 2, "--redo-noisy goes with --resume"),
    ],
)
def test_a_wrong_argument_is_refused_before_the_work(
    arguments: Sequence[str], code: int, words: str
) -> None:
    with pytest.raises(SdrtError) as refused:
        run(*arguments)
    assert refused.value.exit_code == code
    assert words in str(refused.value)
    assert list(Path().iterdir()) == []


@pytest.mark.slow
def test_a_cell_that_does_not_fit_is_skipped_with_the_figure(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    huge = ("--size", "64,4096", "--batch", "64", "--backend", "onnxruntime", "--no-fidelity")
    run(*huge, "--steps", "1", "--repeat", "1", "--no-probe", "-q", "-o", str(file))
    small, large = read_record(file).benchmarks
    assert small.status == "ok"
    assert large.status == "skipped"
    assert "the run needs about" in (large.error or "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("64", (64, 64)), ("64x96", (64, 96)), ("64X96", (64, 96))],
)
def test_a_size_is_one_number_or_two(text: str, expected: tuple[int, int]) -> None:
    assert read_size(text) == expected


@pytest.mark.parametrize("text", ["", "1,,2", "1;2"])
def test_a_list_has_something_between_its_commas(text: str) -> None:
    with pytest.raises(UsageError, match="--batch is .*; expected a list such as 1,4"):
        read_list("batch", text, int)
    kept: Any = read_list("batch", "2,1,2", int)
    assert kept == [2, 1]
