"""A search from beginning to end, on the fake engine."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdrt.artifact import Artifact
from sdrt.errors import UnsupportedError, UsageError
from sdrt.generation.result import Step
from sdrt.generation.run import Run
from sdrt.request.options import Options
from sdrt_bench.prompts import Prompt
from sdrt_bench.similarity import psnr_db
from sdrt_bench.tune.chart import LABELS, PNG, SVG, frontier, write_chart
from sdrt_bench.tune.costs import Clock
from sdrt_bench.tune.record import TuneRecord
from sdrt_bench.tune.report import Report
from sdrt_bench.tune.run import Task, tune
from sdrt_bench.tune.search import Budget
from sdrt_bench.tune.setting import Setting
from tests.benchmarks.tune.models import (
    PROMPTS,
    SMALL,
    SPACE,
    Opened,
    endless,
    plain,
    ran,
    record,
    result,
    task,
)


class Ticking:
    """A clock that goes on by a second each time it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture(scope="module")
def searched(demo: Artifact, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TuneRecord]:
    """A finished search with its folder."""
    folder = tmp_path_factory.mktemp("search") / "out"
    return folder, tune(task(demo, folder), endless(), SPACE)


def test_every_setting_of_the_space_is_tried_and_the_peers_default(
    searched: tuple[Path, TuneRecord],
) -> None:
    _, found = searched
    tried = {each.setting for each in found.results}
    assert {*SPACE.families(), *SPACE.plain(), SPACE.peers_default, *SPACE.shipped} <= tried
    assert all(len(each.psnr_db) == 2 for each in found.results)
    best = Report.of(found)
    for each in best.front:
        assert set(SPACE.neighbours(each.setting)) <= tried
        assert each.measured_s is not None
    assert best.peers_default
    assert best.peers_default.measured_s is not None
    assert best.peers_default.evaluations == 20


def test_figures_are_those_of_the_pictures(
    demo: Artifact, searched: tuple[Path, TuneRecord]
) -> None:
    """Against 200 steps of dpm++2m, with the same prompt and seed."""
    folder, found = searched
    pipe = Opened(demo).open()
    setting = Setting(sampler="ddim", steps=3, spacing="trailing")
    (known,) = (each for each in found.results if each.setting == setting)
    for index, prompt in enumerate(PROMPTS):
        seeded: Options = {**SMALL, "seed": 5 + index}
        many: Options = {**seeded, "sampler": "dpm++2m", "num_inference_steps": 200}
        few: Options = {**seeded, **setting.options}
        reference, image = (pipe(prompt.text, **each).images[0] for each in (many, few))
        assert known.psnr_db[index] == psnr_db(np.asarray(reference), np.asarray(image))
        with Image.open(folder / "references" / f"{index:04}.png") as kept:
            np.testing.assert_array_equal(np.asarray(kept), np.asarray(reference))


def test_more_steps_come_closer(searched: tuple[Path, TuneRecord]) -> None:
    results = {each.setting: each for each in searched[1].results}
    medians = [results[plain(steps)].closeness(2).median for steps in (2, 3, 5)]
    assert medians == sorted(medians)


def test_the_same_command_paints_nothing_twice(
    demo: Artifact, searched: tuple[Path, TuneRecord]
) -> None:
    folder, found = searched
    again = task(demo, folder)
    opened = Opened(demo)
    outcome = tune(replace(again, open_reference=opened.open), endless(), SPACE)
    assert opened.pipes == []  # the converged pictures were there
    assert [each.psnr_db for each in outcome.results] == [each.psnr_db for each in found.results]
    assert outcome.costs == found.costs
    # Only the front is timed again, after a run for each kind; every run ends with its decoder.
    rounds = [len(each.measured_s) for each in outcome.results if each.measured_s]
    assert set(rounds) == {3}
    assert 0 < ran(again.model).count("vae_decoder") - sum(rounds) <= 3


def test_a_converged_picture_that_changed_is_painted_again(
    demo: Artifact, searched: tuple[Path, TuneRecord], tmp_path: Path
) -> None:
    folder, _ = searched
    copy, first = tmp_path / "copy", "references/0000.png"
    shutil.copytree(folder, copy)
    (copy / first).write_bytes(b"damaged")
    opened = Opened(demo)
    tune(replace(task(demo, copy), open_reference=opened.open), endless(), SPACE)
    (reference,) = opened.pipes
    assert ran(reference).count("vae_decoder") == 1
    with Image.open(copy / first) as ours, Image.open(folder / first) as theirs:
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_costs_without_a_kind_of_evaluation_are_measured_again(
    demo: Artifact, searched: tuple[Path, TuneRecord], tmp_path: Path
) -> None:
    """As when a record is older than a trick; all times follow from them."""
    folder, found = searched
    assert found.costs
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    costs = found.costs.model_copy(update={"evaluation_s": {"guided": 1000.0}})
    older = found.model_copy(update={"costs": costs})
    (copy / "record.json").write_text(older.model_dump_json(by_alias=True))
    outcome = tune(task(demo, copy), endless(), SPACE)
    assert outcome.costs
    assert outcome.costs.evaluation_s.keys() == {"guided", "unguided"}
    given = task(demo, copy)
    clock = Clock(given.model, given.completed, nullcontext)
    for each in outcome.results:
        assert each.predicted_s == outcome.costs.seconds(clock.evaluations(each.setting))


def test_times_are_those_of_one_session(
    demo: Artifact, searched: tuple[Path, TuneRecord], tmp_path: Path
) -> None:
    folder, found = searched
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    old = [each.model_copy(update={"measured_s": (99.0,)}) for each in found.results]
    older = found.model_copy(update={"results": tuple(old)})
    (copy / "record.json").write_text(older.model_dump_json(by_alias=True))
    outcome = tune(task(demo, copy), endless(), SPACE)
    assert not any(99.0 in each.measured_s for each in outcome.results)
    measured = {each.setting for each in outcome.results if each.measured_s}
    assert measured >= {row.setting for row in Report.of(outcome).front}


def test_a_search_that_was_stopped_goes_on(demo: Artifact, tmp_path: Path) -> None:
    """It is cancelled in the middle of its work, and keeps what it has."""
    count = 0

    @contextmanager
    def watch(run: Run) -> Iterator[Iterator[Step]]:
        nonlocal count
        count += 1
        if count == 40:
            raise KeyboardInterrupt
        yield iter(run)

    with pytest.raises(KeyboardInterrupt):
        tune(task(demo, tmp_path / "out", watch=watch), endless(), SPACE)
    half = (tmp_path / "out" / "record.json").read_text()
    assert half.count('"setting"') > 3
    whole = tune(task(demo, tmp_path / "out"), endless(), SPACE)
    alone = tune(task(demo, tmp_path / "alone"), endless(), SPACE)
    pictures = {each.setting: each.psnr_db for each in whole.results}
    others = {each.setting: each.psnr_db for each in alone.results}
    for setting in pictures.keys() & others.keys():
        assert pictures[setting] == others[setting]
    assert {*SPACE.families(), *SPACE.plain()} <= pictures.keys()


def test_the_budget_ends_the_search_with_what_it_has(demo: Artifact, tmp_path: Path) -> None:
    short = tune(task(demo, tmp_path / "out"), Budget(30.0, Ticking()), SPACE)
    assert 0 < len(short.results) < 20
    report = Report.of(short)
    assert report.front
    assert all(row.measured_s is not None for row in report.front)


def test_a_budget_that_is_too_short_is_an_error_that_keeps_the_work(
    demo: Artifact, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="1 of 2 converged pictures are there.*--budget"):
        tune(task(demo, tmp_path / "out"), Budget(1.5, Ticking()), SPACE)
    assert len(list((tmp_path / "out" / "references").iterdir())) == 1
    with pytest.raises(UsageError, match="no setting was tried on 2 prompts; the same command"):
        tune(task(demo, tmp_path / "out"), Budget(2.5, Ticking()), SPACE)
    assert tune(task(demo, tmp_path / "out"), endless(), SPACE).prompts == 2


def test_tricks_gain_or_lose_against_plain_settings(
    searched: tuple[Path, TuneRecord],
) -> None:
    _, found = searched
    tricky = [each for each in found.results if each.setting.uses_trick]
    assert tricky
    for each in Report.of(found).front:
        assert (each.plain_db is None) or each.setting.uses_trick


def test_accuracy_is_that_of_the_pictures(demo: Artifact, tmp_path: Path) -> None:
    prompts = [
        Prompt("a boat", lambda _: {"time": True, "color": True}),
        Prompt("a cat", lambda _: {"time": True, "color": False}),
    ]
    found = tune(task(demo, tmp_path / "out", prompts=prompts), endless(), SPACE)
    assert {row.accuracy for row in Report.of(found).front} == {0.75}
    assert "75.0 %" in Report.of(found).to_text()


def test_time_may_come_from_another_model(demo: Artifact, tmp_path: Path) -> None:
    """Its size is its own, and it paints none of the pictures that are compared."""
    timed = Opened(demo).open()
    given = task(demo, tmp_path / "out", timed=timed)
    found = tune(given, endless(), SPACE)
    painted = ran(given.model).count("vae_decoder")
    assert painted == sum(len(each.psnr_db) for each in found.results)
    assert ran(timed).count("vae_decoder") > 0
    assert given.timed_options == {"guidance_scale": 4.0}
    assert given.completed["width"] == 64


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"prompts": []}, UsageError, "there is no prompt"),
        ({"seed": 2**64 - 1}, UsageError, "seed is"),
        ({"options": {"width": 65}}, UsageError, "width is 65"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    demo: Artifact,
    tmp_path: Path,
    changes: dict[str, object],
    error: type[Exception],
    words: str,
) -> None:
    given = task(demo, tmp_path / "out", **changes)
    with pytest.raises(error, match=words):
        tune(given, endless(), SPACE)
    assert list(tmp_path.iterdir()) == []
    assert ran(given.model) == []


@pytest.mark.parametrize(
    ("field", "values", "words"),
    [
        ("conditions", None, "takes a picture besides the prompt"),
        ("defaults", {"sampler": "lcm"}, "was distilled for lcm"),
    ],
)
def test_models_that_cannot_be_searched_are_refused(
    demo: Artifact, tmp_path: Path, field: str, values: dict[str, object] | None, words: str
) -> None:
    manifest = demo.manifest
    if values is None:
        unet = manifest.graphs["unet"]
        sample = unet.inputs[0]
        wider = sample.model_copy(update={"shape": (sample.shape[0], 9, *sample.shape[2:])})
        graph = unet.model_copy(update={"inputs": (wider, *unet.inputs[1:])})
        changed = manifest.model_copy(update={"graphs": {**manifest.graphs, "unet": graph}})
    else:
        part = getattr(manifest, field).model_copy(update=values)
        changed = manifest.model_copy(update={field: part})
    given = task(Artifact(demo.root, changed), tmp_path / "out")
    with pytest.raises(UnsupportedError, match=words):
        tune(given, endless(), SPACE)
    assert list(tmp_path.iterdir()) == []


def test_a_converged_picture_in_another_precision_is_refused(
    demo: Artifact, tmp_path: Path
) -> None:
    def open_other():  # type: ignore[no-untyped-def]
        pipe = Opened(demo).open("fp32")
        pipe.backend.executes = "bf16"  # type: ignore[attr-defined]
        return pipe

    given: Task = task(demo, tmp_path / "out", open_reference=open_other)
    with pytest.raises(UnsupportedError, match="^converged pictures: fake was asked for fp32"):
        tune(given, endless(), SPACE)


def test_the_chart_has_the_front_the_peers_and_the_tricks(tmp_path: Path) -> None:
    results = [
        result(plain(steps), steps / 10, 20.0 + steps, 21.0 + steps) for steps in range(2, 22)
    ]
    tricky = plain(9, guidance_end=0.8)
    peers = Setting(sampler="ddim", steps=20, spacing="trailing")
    far = Setting(sampler="heun", steps=2)
    results += [result(tricky, 0.75, 35.0, 36.0), result(peers, 2.0, 30.0, 30.0)]
    report = Report.of(record([*results, result(far, 0.4, 1.0, 1.0)]))
    chart = frontier(report)
    names = {dot.tip: dot for dot in chart.dots}
    assert far.label not in names  # too far below the front
    assert names[peers.label].shape == "diamond"
    assert names[peers.label].label == "peers' default: ddim 20"
    assert names[tricky.label].color != names[plain(5).label].color
    assert LABELS / 2 < sum(bool(dot.label) for dot in chart.dots) <= LABELS + 1
    ends = names[plain(2).label], names[plain(21).label]
    assert [dot.label for dot in ends] == ["dpm++2m 2", "dpm++2m 21"]
    assert [kind.label for kind in chart.kinds][-1] == "peers' default"
    assert not names[plain(5).label].is_small
    assert names[plain(8).label].is_small  # beaten by the trick
    assert write_chart(report, tmp_path) == [tmp_path / PNG, tmp_path / SVG]
    with Image.open(tmp_path / PNG) as image:
        assert image.width == 1000
    assert (tmp_path / SVG).read_text().startswith('<svg xmlns="http://www.w3.org/2000/svg"')


def test_small_models_of_the_search_share_their_options(demo: Artifact, tmp_path: Path) -> None:
    completed = task(demo, tmp_path).completed
    assert completed == {**SMALL, "guidance_scale": 4.0}
