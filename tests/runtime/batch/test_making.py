"""A batch makes every picture once, whatever happens on the way."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.batch.folder import BatchFolder, Record
from sdrt.batch.keys import Keys
from sdrt.batch.maker import Maker
from sdrt.batch.making import make_all, plan
from sdrt.batch.report import write_reports
from sdrt.batch.rows import Row, read_rows
from sdrt.errors import LockedError, UsageError
from sdrt.images.metadata import read_png
from sdrt.networks.open_model import KEPT_BY_MANY
from sdrt.pipeline import Pipeline
from tests.runtime.fakes import pretend_tiny

TEMPLATE = "{number:05}-{seed}"
SMALL = {"width": 64, "height": 64, "steps": 2}


class Batch:
    """Batches of one model in folders, and how much was computed for them."""

    def __init__(self, tiny: Artifact, folder: Path, fails: int = 0) -> None:
        self._tiny, self._folder = tiny, folder
        self.left_to_fail = fails
        self.backend = FakeBackend(self._compute)
        self.maker = Maker(lambda model: Pipeline(tiny, self.backend, KEPT_BY_MANY))

    def _compute(self, name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name == "unet" and self.left_to_fail:
            self.left_to_fail -= 1
            raise OSError("the disk is gone")
        return pretend_tiny(name, feeds)

    def rows(self, *rows: Mapping[str, Any]) -> list[Row]:
        path = self._folder / "jobs.jsonl"
        path.write_text("\n".join(json.dumps({**SMALL, **row}) for row in rows))
        return read_rows(path)

    def make(
        self,
        rows: Sequence[Row],
        out: str = "out",
        template: str = TEMPLATE,
        shard: tuple[int, int] = (1, 1),
        most: int = 1000,
    ) -> tuple[list[Record], int]:
        """The new records, of at most so many rows, and how many rows were there before."""
        folder = BatchFolder(self._folder / out, shard)
        with folder.opened():
            keys = Keys({"backend": "fake"}, str(self._tiny.root))
            todo = plan(rows, folder, keys, template)
            made = list(make_all(todo.tasks[:most], folder, self.maker))
            return made, len(todo.made)

    def hashes(self, *outs: str) -> set[str]:
        """SHA-256 of all pictures, as the records of these folders have them."""
        lines = [
            line
            for out in outs
            for path in sorted((self._folder / out).glob("results*.jsonl"))
            for line in path.read_text().splitlines()
        ]
        return {hash for line in lines for hash in json.loads(line)["sha256"]}


@pytest.fixture
def batch(tiny: Artifact, tmp_path: Path) -> Batch:
    return Batch(tiny, tmp_path)


def test_pictures_and_records_are_in_the_folder(batch: Batch, tmp_path: Path) -> None:
    rows = batch.rows({"prompt": "a boat"}, {"prompt": "a tree", "seed": 9, "batch_count": 2})
    records, _ = batch.make(rows)
    names = ["00000-0.png", "00001-9.png", "00001-10.png"]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == sorted(names)
    (tree,) = (record for record in records if record["prompt"] == "a tree")
    assert (tree["names"], tree["seeds"], tree["line"]) == (names[1:], [9, 10], 2)
    assert read_png(tmp_path / "out" / names[1])["sdrt"]["prompt"] == "a tree"
    assert tree["executed_precision"]


def test_a_batch_goes_on_where_it_was_stopped(batch: Batch) -> None:
    rows = batch.rows(*({"prompt": f"a boat {i}"} for i in range(5)))
    assert len(batch.make(rows, most=2)[0]) == 2
    ran = len(batch.backend.ran)
    records, before = batch.make(rows)
    assert (len(records), before) == (3, 2)
    assert batch.make(rows) == ([], 5)
    assert len(batch.backend.ran) - ran == 3 * ran // 2


def test_the_order_and_the_parts_change_no_picture(batch: Batch) -> None:
    rows = batch.rows(
        *({"prompt": f"boat {i}", "seed": i, "width": 64 + 8 * (i % 2)} for i in range(12))
    )
    batch.make(rows)
    shuffled = random.Random(3).sample(rows, len(rows))
    batch.make(shuffled, "shuffled")
    for part in (1, 2, 3):
        batch.make(rows, "shards", shard=(part, 3))
    assert len(batch.hashes("out")) == 12
    assert batch.hashes("out") == batch.hashes("shuffled") == batch.hashes("shards")


def test_rows_of_one_size_follow_each_other(batch: Batch) -> None:
    rows = batch.rows(*({"prompt": "x", "width": 64 + 8 * (i % 2)} for i in range(6)))
    records, _ = batch.make(rows)
    widths = [record["parameters"][0]["width"] for record in records]
    assert widths == sorted(widths)


def test_equal_rows_are_computed_once(batch: Batch, tmp_path: Path) -> None:
    rows = batch.rows({"prompt": "x", "seed": 1, "id": "a"}, {"prompt": "x", "seed": 1, "id": "b"})
    records, _ = batch.make(rows, template="{id}")
    assert batch.backend.ran.count("unet") == 2  # steps
    assert [record.get("copy_of") for record in records] == [None, ["a.png"]]
    contents = [(tmp_path / "out" / f"{name}.png").read_bytes() for name in "ab"]
    assert contents[0] == contents[1]
    assert batch.make(rows, template="{id}") == ([], 2)


def test_a_damaged_or_a_missing_picture_is_made_again(batch: Batch, tmp_path: Path) -> None:
    rows = batch.rows({"prompt": "x"}, {"prompt": "y"}, {"prompt": "z"})
    batch.make(rows)
    before = batch.hashes("out")
    (tmp_path / "out" / "00000-0.png").unlink()
    (tmp_path / "out" / "00001-1.png").write_bytes(b"damaged")
    records, _ = batch.make(rows)
    assert {record["prompt"] for record in records} == {"x", "y"}
    assert batch.hashes("out") == before


def test_a_record_that_was_cut_off_by_a_kill_is_written_again(batch: Batch, tmp_path: Path) -> None:
    rows = batch.rows({"prompt": "x"}, {"prompt": "y"})
    batch.make(rows)
    results = tmp_path / "out" / "results.jsonl"
    whole = results.read_text()
    results.write_text(whole[:-20])
    records, before = batch.make(rows)
    assert (len(records), before) == (1, 1)
    assert len(results.read_text().splitlines()) == 2


def test_a_row_that_fails_is_recorded_and_the_others_go_on(tiny: Artifact, tmp_path: Path) -> None:
    batch = Batch(tiny, tmp_path, fails=1)
    rows = batch.rows({"prompt": "x"}, {"prompt": "y"}, {"prompt": "z", "sampler": "nope"})
    records, _ = batch.make(rows)
    states = {record["prompt"]: record["state"] for record in records}
    assert states == {"x": "failed", "y": "done", "z": "failed"}
    errors = {record["prompt"]: record.get("error", {}) for record in records}
    assert errors["x"] == {"type": "OSError", "message": "the disk is gone", "exit_code": 1}
    assert errors["z"]["exit_code"] == 2
    again, before = batch.make(rows)
    assert ([record["state"] for record in again], before) == (["done", "failed"], 1)


def test_a_row_is_tried_again_as_often_as_is_asked_for(tiny: Artifact, tmp_path: Path) -> None:
    batch = Batch(tiny, tmp_path, fails=2)
    folder = BatchFolder(tmp_path / "out")
    with folder.opened():
        keys = Keys({}, str(tiny.root))
        todo = plan(batch.rows({"prompt": "x"}), folder, keys, TEMPLATE)
        batch.maker.retries = 2
        (record,) = make_all(todo.tasks, folder, batch.maker)
    assert record["state"] == "done"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("same", "two rows would both write same.png"),
        ("{nothing}", "unknown {nothing}; known: {number}, {line}, {id}, {seed}, {image}"),
        ("../{number}", "'../0' is no name for a picture in the folder"),
        ("/tmp/{number}", "is no name for a picture"),
        ("{id}", "is no name for a picture"),
    ],
)
def test_names_have_to_tell_rows_apart_and_stay_in_the_folder(
    batch: Batch, tmp_path: Path, template: str, message: str
) -> None:
    rows = batch.rows({"prompt": "x", "id": "../a"}, {"prompt": "y", "id": "b" * 300})
    with pytest.raises(UsageError, match=message):
        batch.make(rows, template=template)
    assert list((tmp_path / "out").glob("**/*.png")) == []


def test_names_may_have_folders(batch: Batch, tmp_path: Path) -> None:
    batch.make(batch.rows({"prompt": "x", "id": "boats/1"}), template="{id}")
    assert (tmp_path / "out" / "boats" / "1.png").is_file()


def test_a_folder_of_another_batch_is_not_written_over(batch: Batch, tmp_path: Path) -> None:
    batch.make(batch.rows({"prompt": "x"}))
    with pytest.raises(UsageError, match="was made by another row, or with other options"):
        batch.make(batch.rows({"prompt": "y"}))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "photo.png").touch()
    with pytest.raises(UsageError, match="has files in it that are no batch's"):
        batch.make(batch.rows({"prompt": "y"}), "full")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "results.jsonl").write_text("{}\n")
    with pytest.raises(UsageError, match="line 1 is no record of a batch"):
        batch.make(batch.rows({"prompt": "y"}), "broken")


def test_two_processes_do_not_write_one_record(batch: Batch, tmp_path: Path) -> None:
    with BatchFolder(tmp_path / "out").opened():
        with pytest.raises(LockedError, match="another process is writing"):
            batch.make(batch.rows({"prompt": "x"}))


def test_the_reports_show_pictures_and_say_what_failed(tiny: Artifact, tmp_path: Path) -> None:
    batch = Batch(tiny, tmp_path, fails=1)
    rows = batch.rows({"prompt": "<script>"}, {"prompt": 'a "boat"'})
    records, _ = batch.make(rows)
    sheet, page = write_reports(BatchFolder(tmp_path / "out"), records)
    text = page.read_text()
    assert sheet.stat().st_size
    assert "&lt;script&gt;<td>the disk is gone" in text
    assert "<script>" not in text
    assert 'src="00001-1.png" alt="a &quot;boat&quot;"' in text
