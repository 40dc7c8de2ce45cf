"""README's table is that of the committed record."""

from pathlib import Path

import pytest

from sdrt_bench.bench.record import read_record
from sdrt_bench.docs.readme_table import BEGIN, END, main, with_table

from .records import cell, full_record, record

ROOT = Path(__file__).parents[3]


def is_up_to_date(readme: Path, results: Path) -> bool:
    """Whether the table is that of one of the records, where there are any."""
    records = [read_record(path) for path in sorted(results.glob("*.json"))]
    text = readme.read_text(encoding="utf-8")
    if BEGIN not in text:
        return not records
    return any(with_table(text, one) == text for one in records)


def test_the_table_of_this_readme_is_that_of_the_committed_record() -> None:
    assert is_up_to_date(ROOT / "README.md", ROOT / "benchmarks" / "results"), (
        "write it with: python -m sdrt_bench.docs.readme_table benchmarks/results/RECORD.json "
        "README.md"
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A README with markers and a record beside it."""
    (tmp_path / "README.md").write_text(f"# It\n\n{BEGIN}\nold\n{END}\n\nMore.\n")
    (tmp_path / "one.json").write_text(full_record().to_json())
    return tmp_path


def test_a_readme_that_disagrees_is_found_and_repaired(project: Path) -> None:
    readme = project / "README.md"
    assert not is_up_to_date(readme, project)
    assert main([str(project / "one.json"), str(readme)]) == 0
    assert is_up_to_date(readme, project)
    text = readme.read_text()
    assert text.startswith(f"# It\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nMore.\n")
    assert "| openvino int8 |" in text
    (project / "one.json").write_text(record(cell(9.0)).to_json())
    assert not is_up_to_date(readme, project)


def test_a_record_without_its_place_in_the_readme_is_found(project: Path) -> None:
    (project / "README.md").write_text("# It\n")
    assert not is_up_to_date(project / "README.md", project)


@pytest.mark.parametrize("text", ["# It\n", f"{BEGIN}\n", f"{END}\n{BEGIN}\n"])
def test_a_readme_without_markers_is_left_alone(
    project: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = project / "README.md"
    readme.write_text(text)
    assert main([str(project / "one.json"), str(readme)]) == 2
    assert readme.read_text() == text
    assert BEGIN in capsys.readouterr().err
