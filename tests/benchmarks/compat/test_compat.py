"""What is exchanged, and the tables of what came of it. The exchange itself is `make compat`."""

import math
from pathlib import Path

import pytest

from sdrt_bench.compat.command import MARK, main, tables
from sdrt_bench.compat.exchange import TOOLS, Exchange, Outcome, exchanges
from sdrt_bench.compat.models import MODELS, Stored, open_weights
from sdrt_bench.marked import markers, with_marked

DOCUMENT = Path(__file__).parents[3] / "docs" / "compatibility.md"


def one(model: str, stored: Stored, db: float | None, tool: int = 0, error: str = "") -> Outcome:
    executed = "bf16" if stored.precision == "fp16" else "fp32"
    return Outcome(Exchange(model, stored, executed, TOOLS[tool]), db, error)  # type: ignore[arg-type]


def test_each_tool_gets_both_sides_exports_in_its_format() -> None:
    found = list(exchanges(["demo", "tiny"]))
    for tool in TOOLS:
        sides = {one.stored.exporter for one in found if one.tool == tool}
        assert sides == {"sdrt", "optimum"}
        assert {one.stored.format for one in found if one.tool == tool} == {tool.format}
    integers = [
        one for one in found if (one.stored.exporter, one.stored.precision) == ("sdrt", "int8")
    ]
    assert {one.model for one in integers} == {"demo"}


def test_a_table_has_a_row_for_each_tool_and_a_column_for_each_model() -> None:
    theirs, ours = Stored("optimum", "openvino", "fp32"), Stored("sdrt", "onnx", "bf16")
    text = tables(
        [
            one("tiny", theirs, 71.26),
            one("demo", theirs, math.inf),
            one("tiny", ours, None, 2, "ValueError: no\nsuch input"),
        ],
        {"x": "optimum-intel 1 (openvino 2)"},
    )
    assert "with optimum-intel 1 (openvino 2)." in text
    assert "| openvino | fp32 | fp32 | optimum-intel | 71.3 dB | equal |" in text
    assert "| onnx | bf16 | fp32 | optimum-onnx | fails |" in text
    assert "- tiny, sdrt's onnx bf16 in fp32, optimum-onnx: ValueError: no such input" in text


@pytest.mark.parametrize(
    ("stored", "db", "is_right"),
    [
        (Stored("sdrt", "onnx", "fp32"), 50.0, True),
        (Stored("sdrt", "onnx", "fp32"), 49.9, False),
        (Stored("sdrt", "onnx", "fp32"), None, False),
        (Stored("optimum", "openvino", "fp16"), 30.0, True),
        (Stored("optimum", "openvino", "fp16"), None, False),
    ],
)
def test_only_equal_arithmetic_has_to_give_equal_pictures(
    stored: Stored, db: float | None, is_right: bool
) -> None:
    assert one("tiny", stored, db).is_right == is_right


def test_wrong_arguments_are_found_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--models", "sd15"]) == 2
    assert "no model is called 'sd15'; expected some of demo, tiny" in capsys.readouterr().err
    document = tmp_path / "document.md"
    assert main(["--into", str(document)]) == 2
    document.write_text("# It\n")
    assert main(["--into", str(document)]) == 2
    assert document.read_text() == "# It\n"


def test_the_document_has_its_tables() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    begin, end = markers(MARK)
    assert with_marked(text, MARK, "").count(begin) == 1
    inside = text.partition(begin)[2].partition(end)[0]
    assert all(f" {model} |" in inside for model in MODELS)
    assert all(tool.name in inside for tool in TOOLS)


def test_random_models_have_weights_of_their_own(tmp_path: Path) -> None:
    folders = {open_weights(name, tmp_path).folder for name in MODELS if name != "demo"}
    assert len(folders) == len(MODELS) - 1
