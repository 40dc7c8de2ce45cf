"""`sdrt plan` from outside."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from sdrt.batch.planning import Measured, Setting
from sdrt.cores import Placement, default_threads, placement
from tests.machines import two_sockets
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
    assert (first["workers"], first["threads"]) == (1, default_threads())
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
    assert f"1 x {default_threads()}" in done.stdout
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


def test_processes_may_use_the_cores_that_one_run_would_leave_alone(
    tiny_exports: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process plans for two sockets, and so must not keep itself to one."""
    place = placement(two_sockets(tmp_path / "machine"), range(16))
    planned: list[Placement] = []

    def measured(setting: Setting, places: Sequence[Placement], *rest: object) -> Measured:
        planned.extend(places)
        return Measured(setting, seconds=1, start_s=1, pictures=1, picture_bytes=1)

    taken: list[object] = []
    monkeypatch.setattr("sdrt.cores.placement", lambda: place)
    monkeypatch.setattr("sdrt.batch.planning.measure", measured)
    monkeypatch.setattr(Placement, "take", lambda self: taken.append(self))
    done = run_here("plan", "-m", tiny_exports["fp32"], *FEW, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    settings = json.loads(done.stdout)["settings"]
    assert [(each["workers"], each["threads"]) for each in settings] == [
        *((1, 8), (2, 8), (4, 4), (8, 2), (16, 1)),
    ]
    assert {number for each in planned for number in each.processors} == set(range(16))
    assert not taken
