"""What is exchanged, and the tables of what came of it. The exchange itself is `make compat`."""

import math
from pathlib import Path

import pytest

from sdrt_bench.compat.exchange import TOOLS, Exchange, Outcome, exchanges
from sdrt_bench.compat.models import MODELS, Export, open_weights
from sdrt_bench.compat.record import ExchangeRow, merge, read_rows
from sdrt_bench.docs.compatibility import MARK, main, tables
from sdrt_bench.docs.markdown_blocks import with_marked

ROOT = Path(__file__).parents[3]
RECORD = ROOT / "benchmarks" / "results" / "exchange" / "record.json"


def row(
    model: str, stored: Export, db: float | None, tool: int = 0, error: str = ""
) -> ExchangeRow:
    executed = "bf16" if stored.precision == "fp16" else "fp32"
    exchange = Exchange(model, stored, executed, TOOLS[tool])  # type: ignore[arg-type]
    return ExchangeRow.from_outcome(Outcome(exchange, db, error), "tool 1 on engine 2")


def test_each_tool_gets_both_sides_exports_in_its_format() -> None:
    cases = list(exchanges(["demo", "tiny"]))
    for tool in TOOLS:
        sides = {case.stored.exporter for case in cases if case.tool == tool}
        assert sides == {"sdrt", "optimum"}
        assert {case.stored.format for case in cases if case.tool == tool} == {tool.format}
    integers = [
        case for case in cases if (case.stored.exporter, case.stored.precision) == ("sdrt", "int8")
    ]
    assert {case.model for case in integers} == {"demo"}


def test_a_table_has_a_row_for_each_tool_and_a_column_for_each_model() -> None:
    theirs, ours = Export("optimum", "openvino", "fp32"), Export("sdrt", "onnx", "bf16")
    text = tables(
        [
            row("tiny", theirs, 71.26),
            row("demo", theirs, math.inf),
            row("tiny", ours, None, 2, "ValueError: no\nsuch input"),
        ]
    )
    assert text.count("tool 1 on engine 2") == 1
    assert "| openvino | fp32 | fp32 | optimum-intel | equal | 71.3 dB |" in text
    assert "| onnx | bf16 | fp32 | optimum-onnx | fails |" in text
    assert "- tiny, sdrt's onnx bf16 in fp32, optimum-onnx: ValueError: no such input" in text


@pytest.mark.parametrize(
    ("stored", "db", "error", "is_right"),
    [
        (Export("sdrt", "onnx", "fp32"), 50.0, "", True),
        (Export("sdrt", "onnx", "fp32"), math.inf, "", True),
        (Export("sdrt", "onnx", "fp32"), 49.8, "", False),
        (Export("sdrt", "onnx", "fp32"), None, "no", False),
        (Export("optimum", "openvino", "fp16"), 30.0, "", True),
        (Export("optimum", "openvino", "fp16"), None, "no", False),
    ],
)
def test_only_equal_arithmetic_has_to_give_equal_pictures(
    stored: Export, db: float | None, error: str, is_right: bool
) -> None:
    assert row("tiny", stored, db, error=error).is_right == is_right


def test_a_run_replaces_what_it_measured_and_keeps_the_rest(tmp_path: Path) -> None:
    path, stored = tmp_path / "new" / "record.json", Export("sdrt", "onnx", "fp32")
    first, second = row("tiny", stored, 60.0), row("demo", stored, None, error="no")
    order = [second.key, first.key]
    assert merge(path, [first], order) == [first]
    assert merge(path, [second], order) == [second, first]
    better = row("demo", stored, 70.0)
    assert merge(path, [better], order) == read_rows(path) == [better, first]


def test_wrong_arguments_are_found_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record, document = tmp_path / "record.json", tmp_path / "document.md"
    arguments = [str(record), str(document)]
    assert main([*arguments, "--models", "sd15"]) == 2
    assert "no model is called 'sd15'; expected demo, tiny" in capsys.readouterr().err
    assert main([*arguments, "--tools", "optimum-intl"]) == 2
    assert "optimum-intel" in capsys.readouterr().err
    assert main(arguments) == 2
    document.write_text("# It\n")
    assert main(arguments) == 2
    assert document.read_text() == "# It\n"
    record.write_text('[{"model": 1}]')
    assert main(arguments) == 2
    assert "is no record of exchanges: 0.model" in capsys.readouterr().err


def test_the_tables_of_the_document_are_those_of_the_committed_record() -> None:
    text = (ROOT / "docs" / "measure" / "compatibility.md").read_text(encoding="utf-8")
    rows = read_rows(RECORD)
    assert rows
    assert with_marked(text, MARK, tables(rows)) == text


def test_random_models_have_weights_of_their_own(tmp_path: Path) -> None:
    folders = {open_weights(name, tmp_path).folder for name in MODELS if name != "demo"}
    assert len(folders) == len(MODELS) - 1
