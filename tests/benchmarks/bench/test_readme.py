"""The tables of README and of the results page are those of the committed record."""

from pathlib import Path

import pytest

from sdrt.errors import UsageError
from sdrt_bench.bench.record import Cell, CellFidelity, read_record
from sdrt_bench.docs.markdown_blocks import markers
from sdrt_bench.docs.readme_table import CELLS, SUMMARY, main, summary, with_cells, with_summary
from tests.benchmarks.bench.records import cell, full_record, record

ROOT = Path(__file__).parents[3]
RECORD = ROOT / "benchmarks" / "results" / "sd15.json"
UPDATE = (
    "run: python -m sdrt_bench.docs.readme_table benchmarks/results/sd15.json README.md "
    "docs/measure/results.md"
)


def place(name: str, content: str = "old") -> str:
    begin, end = markers(name)
    return f"# It\n\n{begin}\n\n{content}\n{end}\n\nMore.\n"


def test_the_four_rows_of_this_readme_are_those_of_the_committed_record() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_summary(text, read_record(RECORD), "benchmarks/results/sd15.json") == text, UPDATE


def test_the_results_page_has_every_cell_of_the_committed_record() -> None:
    text = (ROOT / "docs" / "measure" / "results.md").read_text(encoding="utf-8")
    assert with_cells(text, read_record(RECORD)) == text, UPDATE


def exact(
    step: float, peak: float, precision: str, psnr: float | None = None, **params: str
) -> Cell:
    """A cell whose steps all take `step` seconds, with `peak` GB at most."""
    made = cell(step, {"precision": precision, **params}, {"spread": 0.0, "peak": int(peak * 1e9)})
    fidelity = CellFidelity(
        reference="it", image_psnr_db=psnr, image_ssim=0.9, sqnr_db={"unet": 30.5}
    )
    return made if psnr is None else made.model_copy(update={"fidelity": fidelity})


def noisy(measured_cell: Cell) -> Cell:
    return measured_cell.model_copy(update={"timing_warnings": ("steal time 4 %",)})


def test_the_summary_has_the_fastest_quiet_cell_of_each_precision_and_the_fastest_peer() -> None:
    cells = [
        exact(5.4, 7.0, "fp32"),
        exact(6.0, 4.6, "fp32", 88.0),
        exact(2.5, 3.9, "bf16", 43.1),
        noisy(exact(2.0, 3.9, "bf16", 43.1)),
        exact(3.9, 2.6, "int8", 24.5, backend="onnxruntime"),
        exact(1.6, 2.0, "int8", 25.24),
        exact(9.0, 5.6, "fp32", tool="diffusers", settings="default"),
        exact(2.47, 4.6, "bf16", tool="openvino-genai", settings="best"),
    ]
    lines = summary(record(*cells), "results/it.json").splitlines()
    assert lines[2:] == [
        "| sdrt fp32 | 5.40 s | 7.0 GB | reference | reference |",
        "| sdrt bf16 | 2.50 s | 3.9 GB | 43.1 dB | 30.5 dB |",
        "| sdrt int8 | 1.60 s | 2.0 GB | 25.2 dB | 30.5 dB |",
        "| fastest peer: openvino-genai bf16, best settings | 2.47 s | 4.6 GB | - | - |",
        "",
        "sd15, 512x512, guidance 7.5, 8 steps of ddim, 2 threads; AMD EPYC 9005, 2 cores, 16.0 GB; "
        "2026-11-25, [record](results/it.json).",
    ]


def test_a_noisy_cell_is_in_the_summary_only_where_there_is_no_other_and_is_marked() -> None:
    slow, quick = exact(2.0, 1, "bf16"), noisy(exact(1.0, 1, "bf16"))
    assert "| sdrt bf16 | 2.00 s |" in summary(record(quick, slow), "it.json")
    assert "| sdrt bf16 (noisy) | 1.00 s |" in summary(record(quick), "it.json")


def test_a_record_without_any_measured_cell_has_no_summary() -> None:
    failed = cell().model_copy(update={"status": "failed", "stats": None, "rounds": ()})
    for nothing in (record(), record(failed)):
        with pytest.raises(UsageError, match="no cell that was measured"):
            summary(nothing, "it.json")


@pytest.fixture
def project(tmp_path: Path) -> list[str]:
    """The arguments: a record, a README and a page with their markers."""
    (tmp_path / "one.json").write_text(full_record().to_json())
    (tmp_path / "README.md").write_text(place(SUMMARY))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "results.md").write_text(place(CELLS))
    return [str(tmp_path / name) for name in ("one.json", "README.md", "docs/results.md")]


def test_both_files_are_rewritten_between_their_markers(project: list[str]) -> None:
    assert main(project) == 0
    readme, page = (Path(path).read_text(encoding="utf-8") for path in project[1:])
    for text, name in ((readme, SUMMARY), (page, CELLS)):
        begin, end = markers(name)
        assert text.startswith(f"# It\n\n{begin}\n")
        assert text.endswith(f"{end}\n\nMore.\n")
        assert "old" not in text
    assert "[record](one.json)" in readme
    assert "| openvino int8 |" in page
    assert main(project) == 0
    assert Path(project[1]).read_text(encoding="utf-8") == readme


@pytest.mark.parametrize("wrong", [1, 2])
@pytest.mark.parametrize("text", ["# It\n", "<!-- benchmark: begin -->\n"])
def test_neither_file_is_touched_where_one_lacks_its_markers(
    project: list[str], wrong: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [Path(path).read_text(encoding="utf-8") for path in project]
    before[wrong] = text
    Path(project[wrong]).write_text(text)
    assert main(project) == 2
    assert [Path(path).read_text(encoding="utf-8") for path in project] == before
    assert f"{project[wrong]}: no place for the table" in capsys.readouterr().err


def test_a_wrong_number_of_arguments_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["one.json", "README.md"]) == 2
    assert "RESULTS.md" in capsys.readouterr().err
