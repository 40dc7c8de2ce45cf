"""An artifact is published whole, or not at all, whatever happens meanwhile.

Imports little, because one test starts this module again and again.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sdrt.artifact import open_artifact
from sdrt.errors import LockedError, UsageError, WriteError
from sdrt.files.checksums import sha256
from sdrt.manifest import Manifest, Source
from sdrt_export.artifact.staging import staged

MANIFEST_FIELDS: dict[str, Any] = {
    "name": "x",
    "family": "sd1",
    "source": Source(id="x"),
    "precision": "fp32",
    "prediction": "epsilon",
    "schedule": {},
    "latent": {"channels": 4, "downscale": 8, "scale": 1.0},
    "text_encoders": ({"graph": "text_encoder", "tokenizer": "tokenizer"},),
    "graphs": {},
}


def publish(destination: Path, **files: str) -> None:
    with staged(destination, needed_bytes=0) as stage:
        for name, content in files.items():
            (stage.folder / name).write_text(content)
        stage.publish(Manifest.model_validate(MANIFEST_FIELDS))


def test_a_new_export_replaces_the_old_one_without_leftovers(tmp_path: Path) -> None:
    publish(tmp_path / "out", old="1", both="1")
    publish(tmp_path / "out", new="2", both="2")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"new", "both", "manifest.json"}
    assert (tmp_path / "out" / "both").read_text() == "2"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_export_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    def fail() -> None:
        with staged(tmp_path / "out", 0) as stage:
            (stage.folder / "file").write_text("2")
            raise ZeroDivisionError

    publish(tmp_path / "out", file="1")
    with pytest.raises(ZeroDivisionError):
        fail()
    assert (tmp_path / "out" / "file").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_something_else_in_the_place_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("x")
    with pytest.raises(UsageError, match="expected a new or empty folder, or an artifact"):
        publish(tmp_path / "photos", file="1")
    assert (tmp_path / "photos" / "cat.jpg").exists()


def test_too_little_space_is_found_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="GB free, the export needs 1000000.0 GB"):
        staged(tmp_path / "out", needed_bytes=10**15).__enter__()
    assert list(tmp_path.iterdir()) == []


def test_two_exports_to_one_place_do_not_mix(tmp_path: Path) -> None:
    with staged(tmp_path / "out", 0) as stage:
        with pytest.raises(LockedError, match="another export is writing"):
            publish(tmp_path / "out", file="second")
        (stage.folder / "file").write_text("first")
        stage.publish(Manifest.model_validate(MANIFEST_FIELDS))
    assert (tmp_path / "out" / "file").read_text() == "first"
    publish(tmp_path / "out", file="third")
    assert (tmp_path / "out" / "file").read_text() == "third"


@contextmanager
def publishing_process(destination: Path, ready: Path) -> Iterator[multiprocessing.Process]:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=publish_forever, args=(destination, ready))
    process.start()
    try:
        yield process  # type: ignore[misc]
    finally:
        process.kill()
        process.join()


def publish_forever(destination: Path, ready: Path) -> None:
    for number in range(10**9):
        publish(destination, a=str(number), b=str(number))
        ready.touch()


def test_a_killed_export_leaves_the_old_one_or_the_new_one_whole(tmp_path: Path) -> None:
    destination = tmp_path / "out"
    for attempt in range(8):
        ready = tmp_path / f"ready-{attempt}"
        with publishing_process(destination, ready) as process:
            while not ready.exists():
                assert process.is_alive()
                time.sleep(0.01)
            time.sleep(0.003 * attempt)
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        manifest = open_artifact(destination).manifest
        for name, record in manifest.files.items():
            assert sha256(destination / name) == record.sha256
        assert (destination / "a").read_text() == (destination / "b").read_text()
    publish(destination, a="end", b="end")  # the next one clears what the killed ones left
    left = {path.name for path in tmp_path.iterdir() if not path.name.startswith("ready")}
    assert left == {"out"}
