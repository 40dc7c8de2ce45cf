"""Recordings of what sdrt gives: what is taken out of them, and what counts as a difference."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

import sdrt
from sdrt_bench.unchanged.__main__ import unchanged
from sdrt_bench.unchanged.compare import compare
from sdrt_bench.unchanged.files import describe_file
from sdrt_bench.unchanged.normal import Normal
from sdrt_bench.unchanged.record import RECORDING, options, shape
from sdrt_bench.unchanged.suite import SUITE, chosen

NORMAL = Normal({"/tmp/out/a": "<case>", "/tmp/models": "<models>"})


def recording() -> dict[str, Any]:
    parameters = {"schema": 1, "prompt": "a boat", "part": {"start": 0.5}, "framing": {}}
    command = {"exit_code": 0, "json": {"images": [{"part": None}], "warnings": ["no effect"]}}
    files = {"picture.png": {"pixels": "ab12", "chunk": parameters}}
    machine = {"processor": "one"}
    return {
        "schema": 1,
        "machine": machine,
        "cases": {"a": {"commands": [command], "files": files}},
    }


def chunk(content: dict[str, Any]) -> dict[str, Any]:
    parameters: dict[str, Any] = content["cases"]["a"]["files"]["picture.png"]["chunk"]
    return parameters


def in_schema_2(content: dict[str, Any]) -> dict[str, Any]:
    names = {"part": "denoising_range", "framing": "size_conditioning"}
    renamed = {names.get(name, name): value for name, value in chunk(content).items()}
    content["cases"]["a"]["files"]["picture.png"]["chunk"] = {**renamed, "schema": 2}
    content["cases"]["a"]["commands"][0]["json"]["images"] = [{"denoising_range": None}]
    return content


def compared(before: dict[str, Any], after: dict[str, Any], folder: Path, *options: str) -> Any:
    for name, content in (("before", before), ("after", after)):
        (folder / name).mkdir()
        (folder / name / RECORDING).write_text(json.dumps(content))
    words = ["compare", str(folder / "before"), str(folder / "after"), *options]
    return CliRunner().invoke(unchanged, words)


def test_equal_recordings_do_not_differ(tmp_path: Path) -> None:
    assert compare(recording(), recording()) == []
    done = compared(recording(), recording(), tmp_path)
    assert (done.exit_code, done.output) == (0, "1 cases, 0 of them differ\n")


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("files", "picture.png", "pixels"), "ab13", "different: a/files/picture.png/pixels"),
        (("files", "picture.png", "chunk", "prompt"), "", "different: a/files/picture.png/chunk/p"),
        (("files", "picture.png", "chunk", "part"), {}, "missing: a/files/picture.png/chunk/part/"),
        (("files", "b.png"), {}, "new: a/files/b.png"),
        (("commands", 0, "exit_code"), False, "different: a/commands/0/exit_code: 0 -> False"),
        (("commands", 0, "json", "images"), [], "different: a/commands/0/json/images"),
        (("commands", 0, "json", "warnings", 0), "none", "reworded: a/commands/0/json/warnings/0"),
    ],
)
def test_one_other_value_is_found(
    path: tuple[str | int, ...], value: object, line: str, tmp_path: Path
) -> None:
    after = recording()
    place: Any = after["cases"]["a"]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    (difference,) = compare(recording(), after)
    assert str(difference).startswith(line)
    done = compared(recording(), after, tmp_path)
    assert done.exit_code == 1
    assert done.output.endswith("1 cases, 1 of them differ\n")


def test_the_order_of_keys_counts() -> None:
    after = recording()
    chunk(after)["prompt"] = chunk(after).pop("prompt")
    (difference,) = compare(recording(), after)
    assert difference.path == "a/files/picture.png/chunk (order)"


def test_names_of_the_table_count_as_renamed_and_their_values_are_compared(tmp_path: Path) -> None:
    after = in_schema_2(recording())
    assert {difference.kind for difference in compare(recording(), after)} == {"renamed"}
    done = compared(recording(), after, tmp_path)
    assert done.exit_code == 0
    assert "renamed: part (part -> denoising_range), 2 times" in done.output
    assert "renamed: schema (1 -> 2), 1 times" in done.output
    chunk(after)["denoising_range"]["start"] = 0.6
    differences = compare(recording(), after)
    assert [str(difference) for difference in differences if difference.kind != "renamed"] == [
        "different: a/files/picture.png/chunk/part/start: 0.5 -> 0.6"
    ]


def test_a_name_of_the_table_elsewhere_is_another_name() -> None:
    before, after = recording(), recording()
    before["cases"]["a"]["commands"][0]["json"]["part"] = 1
    after["cases"]["a"]["commands"][0]["json"]["denoising_range"] = 1
    assert [difference.kind for difference in compare(before, after)] == ["missing", "new"]


def test_other_words_may_be_allowed(tmp_path: Path) -> None:
    after = copy.deepcopy(recording())
    after["cases"]["a"]["commands"][0]["json"]["warnings"] = ["without effect", "slow"]
    assert compared(recording(), after, tmp_path, "--allow-reworded").exit_code == 0


def test_another_machine_is_named(tmp_path: Path) -> None:
    after = {**recording(), "machine": {"processor": "two"}}
    done = compared(recording(), after, tmp_path)
    assert done.exit_code == 0
    assert "not recorded alike: different: machine/processor: 'one' -> 'two'" in done.output


def test_times_memory_and_paths_are_taken_out_and_nothing_else() -> None:
    content = {
        "timings": {"step_s": [0.5, 1], "load_s": {"unet": 2.0}},
        "seconds": 3,
        "memory": {"limit_bytes": 5, "ways": ["tiles"]},
        "bytes": 7,
        "parity_db": {"openvino": 80.1},
        "steps": 4,
        "file": "/tmp/out/a/b.png",
        "ok": True,
        "warnings": ["it needs 1.5 GB for 3 steps"],
    }
    assert NORMAL.values(content) == {
        "timings": {"step_s": ["<time>", "<time>"], "load_s": {"unet": "<time>"}},
        "seconds": "<time>",
        "memory": {"limit_bytes": "<memory>", "ways": ["tiles"]},
        "bytes": 7,
        "parity_db": {"openvino": "<measured>"},
        "steps": 4,
        "file": "<case>/b.png",
        "ok": True,
        "warnings": ["it needs <memory> GB for 3 steps"],
    }
    assert NORMAL.prose("4 steps of 0.0596 s, 1.5 GB\n/tmp/models/tiny: 8 layers") == [
        "4 steps of <time> s, <memory> GB",
        "<models>/tiny: 8 layers",
    ]


def test_a_picture_is_described_by_its_pixels_and_texts(tmp_path: Path) -> None:
    pipe = sdrt.load(backend="onnxruntime")
    result = pipe("a boat", width=64, height=64, num_inference_steps=1, seed=1)
    (path,) = result.save(tmp_path / "a.png")
    described = describe_file(path, NORMAL)
    assert (described["mode"], described["size"], described["chunk"]["seed"]) == (
        "RGB",
        [64, 64],
        1,
    )
    assert described["texts"]["parameters"].startswith("a boat\n")
    assert described["chunk is plain JSON"]
    assert described["chunks"] == ["IHDR", "tEXt", "iTXt", "IDAT", "IEND"]
    other = Image.open(path)
    other.putpixel((3, 3), (1, 2, 3))
    other.save(tmp_path / "b.png")
    assert describe_file(tmp_path / "b.png", NORMAL)["pixels"] != described["pixels"]


def test_help_gives_its_options_and_measured_records_their_shape() -> None:
    text = "Options:\n  -o, --out DIR   See: sdrt info --json.\n  --a / --no-a   Both."
    assert options(text) == ["--a", "--no-a", "--out", "-o"]
    content = {"a": [{"n": 1}, {"n": 2.5}, {"n": None}, "x"], "b": True}
    assert shape(content) == {"a": [{"n": "number"}, {"n": "NoneType"}], "b": "bool"}


def test_cases_have_names_of_their_own_and_are_chosen_by_name_and_group() -> None:
    names = [case.name for case in SUITE]
    assert len(set(names)) == len(names)
    assert {case.group for case in chosen(["host", "lora-*"], ["host-refusals"])} == {
        "host",
        "generate",
    }
    with pytest.raises(ValueError, match="no case and no group is called 'sampler'"):
        chosen(["sampler"], [])
