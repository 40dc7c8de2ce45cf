"""Records: the front, the gain of tricks, the choice for a preset, and whose a record is."""

import json
from pathlib import Path

import pytest

from sdrt.errors import UsageError, WriteError
from sdrt.files.tuned_speed import TunedPreset
from sdrt_bench.tune.best import balanced, best, fast, peers_default, plain_db, untricked_db
from sdrt_bench.tune.presets import tuned_presets
from sdrt_bench.tune.record import RecordFile, Result, TuneRecord, front, read_record
from sdrt_bench.tune.report import Report, row
from sdrt_bench.tune.setting import Setting
from tests.benchmarks.tune.models import identity, plain, record, result

DEIS = Setting(sampler="deis", steps=6, scheduler="beta")
CACHED = plain(8, cache_interval=2)
PEERS = Setting(sampler="ddim", steps=20, spacing="trailing")
RESULTS = (
    result(plain(4), 4.0, 20.0, 22.0),
    result(plain(8), 8.0, 30.0, 32.0),
    result(DEIS, 6.0, 27.0, 29.0),
    result(CACHED, 5.0, 26.0, 28.0),
    result(PEERS, 20.0, 27.0, 28.0),
    result(plain(6, guidance_end=0.8), 5.5, 40.0),  # on one prompt of two
)
RECORD = record(RESULTS)


def test_the_front_is_of_settings_that_were_tried_on_all_prompts() -> None:
    assert RECORD.prompts == 2
    assert [each.setting for each in front(RESULTS, 2)] == [plain(4), CACHED, DEIS, plain(8)]
    assert front(RESULTS, 1)[-1].setting == plain(6, guidance_end=0.8)


def test_what_is_hardly_faster_is_not_on_the_front() -> None:
    near = result(plain(7, guidance_start=0.1), 7.95, 29.5, 31.5)
    assert [each.setting for each in front([*RESULTS, near], 2)][-2:] == [DEIS, plain(8)]
    faster = near.model_copy(update={"predicted_s": 7.9})
    assert front([*RESULTS, faster], 2)[-2] == faster


def test_a_report_is_about_all_prompts_or_those_of_the_first_stage() -> None:
    texts = tuple(f"prompt {i}" for i in range(12))
    few = record([result(plain(4), 4.0, *[20.0] * 8)], prompts=texts)
    assert few.prompts == 8
    more = result(plain(6), 6.0, *[20.0] * 11)
    assert record([*few.results, more], prompts=texts).prompts == 8
    full = result(plain(6), 6.0, *[20.0] * 12)
    assert record([*few.results, full], prompts=texts).prompts == 12
    assert record([result(plain(4), 4.0, *[20.0] * 7)], prompts=texts).prompts == 0


def test_plain_settings_are_interpolated_to_the_time_of_a_trick() -> None:
    assert plain_db(RECORD, 5.0) == pytest.approx(21 + 10 * 1 / 4)
    assert plain_db(RECORD, 3.0) is None
    assert plain_db(RECORD, 9.0) is None
    tricky = row(RECORD, RESULTS[3])
    assert (tricky.median_db, tricky.plain_db) == (27.0, 23.5)
    assert tricky.gain_db == pytest.approx(3.5)
    # Without a trick, it lies between four plain steps and the other sampler.
    assert (tricky.untricked_db, tricky.untricked_gain_db) == (24.5, 2.5)
    assert untricked_db(RECORD, 6.0) == 28.0
    assert untricked_db(RECORD, 100.0) == 31.0
    assert untricked_db(RECORD, 3.9) is None
    bare = row(RECORD, RESULTS[2])
    assert (bare.plain_db, bare.gain_db, bare.untricked_gain_db) == (None, None, None)


def test_other_spacings_are_not_the_plain_setting() -> None:
    other = Setting(sampler="dpm++2m", steps=6, spacing="leading")
    with_other = record([*RESULTS, result(other, 6.0, 90.0, 90.0)])
    assert plain_db(with_other, 6.0) == plain_db(RECORD, 6.0)


def test_the_best_is_the_fastest_that_is_close_enough() -> None:
    assert best(RECORD, at_least_db=27.0).setting == CACHED
    assert best(RECORD, at_least_db=27.5).setting == DEIS
    assert best(RECORD, at_least_db=30.0).setting == plain(8)


def test_the_best_in_a_time_is_the_closest() -> None:
    assert best(RECORD, at_most_seconds=5.5).setting == CACHED
    assert best(RECORD, at_most_seconds=100.0).setting == plain(8)
    assert best(RECORD).setting == plain(8)


def test_balanced_is_no_worse_than_the_peers_in_median_and_tenth_percentile() -> None:
    assert peers_default(RECORD) == PEERS
    chosen = balanced(RECORD)
    assert chosen
    # The cached one has their median less half a decibel.
    assert chosen.setting == DEIS
    low = result(Setting(sampler="unipc", steps=5), 5.0, 20.0, 40.0)  # good median, bad p10
    assert best(record([*RESULTS, low]), no_worse_than=PEERS).setting == DEIS
    assert balanced(record(RESULTS[:4])) is None


def test_fast_is_good_enough_and_shows_what_the_prompts_say() -> None:
    def shown(each: Result, *right: bool) -> Result:
        return each.model_copy(update={"shown": tuple({"time": value} for value in right)})

    near = result(plain(7), 7.0, 30.0, 31.0)
    judged = [shown(each, True, True) for each in (RESULTS[4], RESULTS[1])]
    assert fast(record([*judged, shown(near, True, False)])) == judged[1]
    assert fast(record([*judged, shown(near, True, True)])) == shown(near, True, True)
    assert fast(record([RESULTS[4], near])) == near  # where nobody knows what is right
    assert fast(record(RESULTS[:1])) is None


def test_presets_are_of_the_model_that_was_timed() -> None:
    tricky = result(plain(9, sigma_min=0.1, cache_interval=2, guidance_end=0.9), 3.0, 33.0, 33.0)
    made = tuned_presets(record([*RESULTS, tricky]))
    assert (made.model_hash, made.processor) == (identity().timed_model_hash, "p")
    assert (
        made.presets["fast"]
        == made.presets["balanced"]
        == TunedPreset(
            sampler="dpm++2m",
            spacing="trailing",
            sampler_options={"sigma_min": 0.1},
            num_inference_steps=9,
            guidance_end=0.9,
            cache_interval=2,
        )
    )
    with pytest.raises(UsageError, match="makes the preset 'balanced': .*--budget gives it more"):
        tuned_presets(record(RESULTS[:4]))


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({"at_least_db": 50.0}, "none of 5 settings has at least 50.00 dB; ask for less"),
        ({"at_least_db": 30.0, "at_most_seconds": 7.0}, "at least 30.00 dB, at most 7 s"),
        ({"no_worse_than": plain(7)}, "no result of dpm.*trailing 7 on 2 prompts"),
        ({"no_worse_than": PEERS, "at_most_seconds": 1.0}, "27.10 dB at the tenth percentile"),
    ],
)
def test_what_nothing_meets_is_an_error(conditions: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        best(RECORD, **conditions)  # type: ignore[arg-type]


def test_a_record_is_the_same_when_it_is_read_again(tmp_path: Path) -> None:
    file = RecordFile(tmp_path, identity())
    tricky = plain(5, cache_interval=3, sigma_min=0.1, guidance_end=0.9)
    file.put(result(plain(4), 4.0, None, 20.0))  # None: equal pictures
    file.put(result(tricky, 3.0, 18.5).model_copy(update={"shown": ({"time": True},)}))
    file.change(references=("a" * 64,))
    file.save()
    again = RecordFile(tmp_path, identity())
    assert again.record == file.record
    assert again.result(tricky) == file.result(tricky)
    assert read_record(tmp_path / "record.json").references == ("a" * 64,)
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_hash": "b"}, "its model hash is a+, expected b; choose another --output"),
        ({"processor": "q"}, "its processor is p, expected q"),
        ({"executed_precision": "bf16"}, "its executed precision is fp32, expected bf16"),
        ({"seed": 3}, "its seed is 0, expected 3"),
        ({"prompts": ("a boat",)}, "its prompts is 2, from 'a boat' on, expected 1, from"),
    ],
)
def test_the_record_of_another_search_is_refused(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    RecordFile(tmp_path, identity()).save()
    before = (tmp_path / "record.json").read_bytes()
    with pytest.raises(UsageError, match=words):
        RecordFile(tmp_path, identity(**changes))
    assert (tmp_path / "record.json").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1]", "schema None"),
        ('{"schema": 2}', "has schema 2, this sdrt reads schema 1"),
        ('{"schema": 1}', "identity: field required"),
        ('{"schema": 1, "identity": 3}', "choose another --output"),
    ],
)
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(UsageError, match=words):
        RecordFile(tmp_path, identity())
    assert (tmp_path / "record.json").read_text() == text


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="cannot make the folder"):
        RecordFile(tmp_path / "file" / "below", identity()).save()


def test_the_report_is_json_and_a_table() -> None:
    report = Report.of(RECORD)
    values = json.loads(json.dumps(report.to_record(), allow_nan=False))
    assert [each["label"] for each in values["front"]] == [
        *("dpm++2m trailing 4", "dpm++2m trailing 8, cache 2", "deis beta 6"),
        "dpm++2m trailing 8",
    ]
    assert values["front"][1]["gain_db"] == pytest.approx(3.5)
    assert values["peers_default"]["label"] == "ddim trailing 20"
    assert values["balanced"]["label"] == "deis beta 6"
    lines = report.to_text().splitlines()
    assert "6 settings tried" in lines[1]
    (tricky,) = (line for line in lines if line.startswith("dpm++2m trailing 8, cache 2"))
    assert tricky.split()[5:] == [*("-", "5", "8", "27.0", "26.2", "-", "23.5", "+3.5", "+2.5")]
    assert any(line.startswith("peers' default: ddim trailing 20 ") for line in lines)


def test_equal_pictures_are_named_so() -> None:
    equal = record([result(plain(4), 4.0, None, None), result(plain(2), 2.0, 9.0, 9.0)])
    report = Report.of(equal)
    assert report.front[-1].to_record()["median_db"] is None
    assert "equal" in report.to_text()
    assert json.dumps(report.to_record(), allow_nan=False)


def test_a_record_says_which_model_was_timed() -> None:
    other = TuneRecord(identity=identity(timed_model="sd15", timed_model_hash="b"), results=RESULTS)
    assert "times of sd15, executed in fp32" in Report.of(other).to_text()
    assert "times of" not in Report.of(RECORD).to_text()
