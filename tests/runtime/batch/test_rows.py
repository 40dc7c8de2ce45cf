import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdrt.batch.rows import Row, read_rows
from sdrt.errors import UsageError


def rows(folder: Path, name: str, text: str, *shared: str) -> list[Row]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_rows(path, shared)


def test_a_prompt_a_line(tmp_path: Path) -> None:
    first, second = rows(tmp_path, "a.txt", "a red boat\n\n  a green tree  \n")
    assert (first.prompt, first.number, first.line, first.id) == ("a red boat", 0, 1, "0")
    assert (second.prompt, second.number, second.line) == ("a green tree", 1, 3)
    assert [row.options["seed"] for row in (first, second)] == [0, 1]


def test_options_by_the_names_of_python_or_of_the_command_line(tmp_path: Path) -> None:
    lines = (
        {"prompt": "x", "num_inference_steps": 5, "guidance_scale": 3, "width": 64, "height": 96},
        {"prompt": "x", "steps": 5, "cfg-scale": 3, "size": "64x96", "seed": 0, "negative": None},
    )
    del lines[1]["negative"]
    first, second = rows(tmp_path, "a.jsonl", "\n".join(map(json.dumps, lines)))
    assert first.options == second.options
    assert first.options["num_inference_steps"] == 5


def test_cells_of_csv_are_numbers_where_the_option_is_one(tmp_path: Path) -> None:
    text = 'id,prompt,steps,seed,sampler_options,style\n7,"1, 2",5,,"{""eta"": 0.5}",\nb,2,,3,,\n'
    first, second = rows(tmp_path, "a.csv", text)
    assert (first.id, first.prompt, first.options["num_inference_steps"]) == ("7", "1, 2", 5)
    assert first.options["sampler_options"] == {"eta": 0.5}
    assert (second.id, second.prompt, second.options["seed"]) == ("b", "2", 3)
    assert "style" not in second.options


def test_standard_input_is_json_lines_or_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ('{"prompt": "a boat"}\n', "a boat\n"):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        assert [row.prompt for row in read_rows(Path("-"))] == ["a boat"]


def test_options_for_all_rows_give_way_to_those_of_a_row(tmp_path: Path) -> None:
    lines = '{"prompt": "x"}\n{"prompt": "x", "steps": 3}\n'
    found = rows(tmp_path, "a.jsonl", lines, "steps=7", "negative_prompt=fog")
    assert [row.options["num_inference_steps"] for row in found] == [7, 3]
    assert {row.options["negative_prompt"] for row in found} == {"fog"}


def test_files_lie_beside_the_file_of_jobs(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "start.png")
    (tmp_path / "ink.safetensors").touch()
    line = {"prompt": "x", "image": "start.png", "lora": "ink.safetensors:0.5", "model": "demo"}
    (row,) = rows(tmp_path, "a.jsonl", json.dumps(line))
    assert row.options["image"] == str(tmp_path / "start.png")
    assert row.loras == (f"{tmp_path / 'ink.safetensors'}:0.5",)
    assert row.model == "demo"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"prompt": "x"}\n{"prompt": "x", "stepz": 3}', "line 2: unknown option 'ste"),
        ("a.jsonl", '{"prompt": "x"}\n[1]', r"line 2 is \[1\]; expected an object"),
        ("a.jsonl", '{"prompt": "x"', "line 1 is not valid JSON"),
        ("a.jsonl", "[" * 100_000, "line 1 is not valid JSON"),
        ("a.jsonl", '{"seed": 1}', "line 1 has no prompt"),
        ("a.jsonl", '{"prompt": 7}', "line 1 has no prompt"),
        ("a.jsonl", '{"prompt": "x", "image": "no.png"}', "line 1: there is no image .*no.png"),
        ("a.jsonl", '{"prompt": "x", "lora": "no:0.5"}', "line 1: there is no loras .*no"),
        ("a.jsonl", '{"prompt": "x", "latents": []}', "line 1: unknown option 'latents'"),
        ("a.jsonl", '{"prompt": "x", "seed": -1}', "line 1: seed is -1; leave it out"),
        ("a.jsonl", '{"prompt": "x", "size": 64}', "line 1: size is 64; expected for example"),
        ("a.csv", "prompt,steps\nx,1,2\n", "line 2 has more cells than the header"),
        ("a.csv", 'prompt\n"x\n', "is not valid CSV"),
        ("a.txt", "\n \n", "has no jobs in it"),
        ("a.json", "{}", "is none of .jsonl, .csv, .txt"),
    ],
)
def test_the_first_row_that_cannot_be_is_named_by_its_line(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        rows(tmp_path, name, text)


@pytest.mark.parametrize(
    ("shared", "message"),
    [("steps", "expected NAME=VALUE"), ("stepz=3", "--set stepz=3: unknown option 'stepz'")],
)
def test_wrong_options_for_all_rows_are_refused(tmp_path: Path, shared: str, message: Any) -> None:
    with pytest.raises(UsageError, match=message):
        rows(tmp_path, "a.txt", "x", shared)
