"""`sdrt plan` from outside."""

import json
from pathlib import Path

import pytest

from sdrt import machine
from tests.runtime.cli.command_line import assert_fails, run_here

FEW = ("--set", "steps=2", "--set", "size=64x64", "--backend", "onnxruntime", "--repeat", 1)


def test_settings_are_measured_and_fleets_computed(
    tiny_exports: dict[str, Path], tmp_path: Path
) -> None:
    asked = ("--images", 10**7, "--within", "2h", "--price-per-core-hour", 0.5)
    done = run_here("plan", "-m", tiny_exports["fp32"], *FEW, *asked, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    first = record["settings"][0]
    assert (first["workers"], first["threads"]) == (1, machine.usable_cores())
    assert first["pictures_per_hour"] == pytest.approx(3600 / first["picture_s"])
    hours = 1000 * first["picture_s"] * first["threads"] / 3600
    assert first["core_hours_per_1000"] == pytest.approx(hours)
    assert first["price_per_1000"] == pytest.approx(hours / 2)
    assert record["process_bytes"] > 10**6
    assert record["enough"]["seconds"] <= 7200
    assert [fleet["machines"] for fleet in record["fleets"]] == [1, 10, 100, 1000, 10_000]
    assert list(tmp_path.iterdir()) == []


def test_it_is_a_table_for_people(tiny_exports: dict[str, Path], tmp_path: Path) -> None:
    asked = ("--images", 5, "--within", "7d", "--price-per-core-hour", 0)
    done = run_here("plan", "-m", tiny_exports["fp32"], *FEW, *asked, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"1 x {machine.usable_cores()}" in done.stdout
    assert "5 pictures within 7d: 1 machine like this one" in done.stdout
    assert "for 0.00 in all" in done.stdout
    assert "Computed from these figures, not run" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--within", "soon"], 2, ["--within is 'soon'; expected for example 90m, 24h or 7d"]),
        (["--within", "0h"], 2, ["--within is '0h'"]),
        (["--threads", 1], 2, ["leave out --threads"]),
        (["--store-rate", "fast"], 2, ["--store-rate is 'fast'; expected"]),
        (["--set", "stepz=2"], 2, ["unknown option 'stepz'", "did you mean"]),
        (["-m", "nowhere"], 3, ["nowhere"]),
        (["--images", 0], 2, ["0 is not in the range"]),
    ],
)
def test_a_wrong_argument_is_one_sentence(
    tmp_path: Path, arguments: list[object], code: int, words: list[str]
) -> None:
    assert_fails(run_here("plan", *arguments, cwd=tmp_path), code, *words)
