"""A record says the same in the terminal, in Markdown and as CSV."""

import csv
import io
import re
from statistics import fmean, median

import pytest

from sdrt_bench.bench.report.rows import label
from sdrt_bench.bench.report.table import to_csv, to_markdown, to_text
from tests.benchmarks.bench.records import HOSTILE, OURS, PEERS, cell, full_record, record


def lines_of(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def test_every_cell_has_a_row_with_its_median_and_its_ratio_to_fp32() -> None:
    made = full_record()
    text = to_text(made)
    reference = made.benchmarks[0].stats
    assert reference
    for benchmark in made.benchmarks[: len(OURS) + len(PEERS)]:
        assert benchmark.stats
        (row,) = lines_of(text.split("\n\n")[0], label(benchmark.params))
        assert f" {benchmark.stats.median / reference.median:.2f} " in row
        shown, _, _ = row.split(label(benchmark.params))[1].lstrip("~ ").partition(" ±")
        assert float(shown) == pytest.approx(benchmark.stats.median, rel=0.005)
    assert lines_of(text, "x ref: a step against onnxruntime fp32")


def test_a_row_tells_stored_from_executed_and_gives_the_shares() -> None:
    text = to_text(full_record())
    assert "bf16 -> fp32" in lines_of(text, "onnxruntime bf16")[0]
    row = lines_of(text, "openvino int8")[0]
    assert "int8 -> int8 64 %, bf16 36 % (int8: 97 % of conv+linear)" in row
    assert "34 %" in row.replace("64 %", "")
    assert "2.0 GB" in row
    assert "1.1 GB" in row
    assert "25.2" in row
    assert "equal" in lines_of(text, "onnxruntime fp32")[0]


def test_failed_skipped_and_noisy_rows_say_why() -> None:
    text = to_text(full_record())
    assert "failed: pip could not install" in lines_of(text, "optimum-intel int8")[0]
    assert "skipped: needs 21 GB" in lines_of(text, "optimum-onnx fp32")[0]
    assert "~ openvino fp32: steal time 4 %" in text
    assert "1 of 14 cells are marked" in text


def test_each_shape_is_a_block_and_columns_without_data_are_left_out() -> None:
    text = to_text(record(cell(1.0), cell(3.0, {"width": 768})))
    assert len(lines_of(text, "sd15, 512x512")) == 1
    assert len(lines_of(text, "sd15, 768x512")) == 1
    assert len(lines_of(text, "openvino bf16")) == 2
    assert "PSNR" not in text
    assert "x ref" not in text, "there is no fp32 row"


def test_a_record_without_cells_is_said_to_be_empty() -> None:
    assert "Nothing was measured." in to_text(record())


def test_the_columns_of_the_terminal_stand_under_each_other() -> None:
    header, *rows = to_text(full_record()).splitlines()[1 : 2 + len(OURS)]
    end = header.index("step, s") + len("step, s")
    assert {row[end - 1].isdigit() and row[end] == " " for row in rows} == {True}


def test_hostile_names_command_neither_terminal_nor_markdown() -> None:
    made = record(cell(1.0, {"model": HOSTILE, "tool": HOSTILE}))
    assert "\x1b" not in to_text(made)
    markdown = to_markdown(made)
    assert "<script" not in markdown.replace("\\<script", "")
    cells = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in cells}) == 1


def test_markdown_has_the_rows_of_the_terminal() -> None:
    made = full_record()
    text, markdown = to_text(made), to_markdown(made)
    for benchmark in made.benchmarks:
        assert f"| {label(benchmark.params)}" in markdown
    for row in lines_of(text, "openvino int8"):
        for words in re.split(r"  +", row):
            assert words in markdown


def test_csv_has_a_line_for_each_round_and_three_that_sum_them_up() -> None:
    made = cell(2.0)
    rows = list(csv.DictReader(io.StringIO(to_csv(record(made)))))
    assert [row["iteration"] for row in rows] == ["1", "2", "3", "avg", "mini", "median"]
    first = made.rounds[0]
    assert float(rows[0]["1st_latency(ms)"]) == round(1000 * first.step_s[0], 5)
    assert float(rows[0]["2nd_avg_latency(ms)"]) == round(1000 * fmean(first.step_s[1:]), 5)
    assert float(rows[0]["pretrain_time(s)"]) == round(sum(first.load_s.values()), 5)
    images = [float(row["generation_time(s)"]) for row in rows]
    assert abs(images[3] - fmean(images[:3])) < 1e-4
    assert images[4] == min(images[:3])
    assert images[5] == median(images[:3])


def test_csv_says_which_cells_failed_and_starts_no_formula() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(full_record()))))
    states = [row["iteration"] for row in rows if row["framework"] == "optimum-intel"]
    assert states == ["failed"]
    text = to_csv(record(cell(1.0, {"model": "=HYPERLINK(1)"})))
    assert all(row["model"][0] == "'" for row in csv.DictReader(io.StringIO(text)))
