"""The rows of a batch: each is what one call of `sdrt generate` would be told.

A file of jobs is JSON lines, CSV with a header, or text with a prompt on each line.
"""

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sdrt.errors import UsageError
from sdrt.files.text_file import read_text
from sdrt.request.options import Options
from sdrt.validation import known

MAX_BYTES = 1_000_000_000  # of a file of jobs; some ten million prompts
STDIN = Path("-")
FORMATS = (".jsonl", ".csv", ".txt")
FILES = ("image", "mask", "depth")
ADAPTERS = ("loras", "embeddings")
OTHER = ("prompt", "id", "model", "refiner", "refiner_start", *ADAPTERS)
"""Fields of a row that are not options of a run."""
ARRAYS = {
    *("latents", "denoising_start", "denoising_end", "prompt_embeds", "negative_prompt_embeds"),
    *("pooled_prompt_embeds", "negative_pooled_prompt_embeds"),
    *("controls", "guess_mode"),
}
"""Options of a run that no row can have: they hold arrays, or name several files each."""
FIELDS = (*OTHER, *(name for name in Options.__annotations__ if name not in ARRAYS))
ALIASES = {
    "steps": "num_inference_steps",
    "cfg_scale": "guidance_scale",
    "batch_count": "num_images_per_prompt",
    "sampling_method": "sampler",
    "init_img": "image",
    "lora": "loras",
    "embedding": "embeddings",
}
"""Names of the command line's flags where they differ from the Python interface's."""
TEXTS = {
    *("prompt", "negative_prompt", "id", "model", "refiner", "style", "sampler", "scheduler"),
    *("spacing", "speed", "decoder", *FILES),
}
"""Fields that are text; those of a CSV file that are none are read as JSON."""


@dataclass(frozen=True)
class Row:
    """What one row asks for; files are absolute."""

    number: int
    """Counted from 0."""
    line: int
    """Where it is in its file, counted from 1."""
    prompt: str
    options: Options
    """As `Pipeline.start` takes them, with files as paths, and a seed."""
    id: str
    model: str | None = None
    loras: tuple[str, ...] = ()
    """As `FILE:WEIGHT`."""
    embeddings: tuple[str, ...] = ()
    refiner: str | None = None
    refiner_start: float | None = None


def read_rows(path: Path, shared: Sequence[str] = (), seed: int = 0) -> list[Row]:
    """Read a file of jobs, or standard input for "-"; `shared` are `NAME=VALUE` for every row.

    A row without a seed gets `seed` plus its number, so that the same file makes the same pictures
    again. Files that rows name are looked for beside the file. Raises `UsageError` that names
    the line of the first row that cannot be.
    """
    text = sys.stdin.read() if path == STDIN else read_text(path, "a list of jobs", MAX_BYTES)
    folder = Path() if path == STDIN else path.parent
    common = _common(shared)
    rows: list[Row] = []
    for line, given in _records(path, text):
        place = f"{path}, line {line}"
        fields = common | _named(given, place)
        rows.append(_row(len(rows), line, place, fields, folder.absolute(), seed))
    if not rows:
        raise UsageError(f"{path} has no jobs in it")
    return rows


def rows_of(prompts: Sequence[str], shared: Sequence[str] = (), seed: int = 0) -> list[Row]:
    """A row for each prompt, with `NAME=VALUE` for all; raises `UsageError`."""
    common = _common(shared)
    return [
        _row(number, number + 1, "--set", common | {"prompt": prompt}, Path().absolute(), seed)
        for number, prompt in enumerate(prompts)
    ]


def _common(shared: Sequence[str]) -> dict[str, Any]:
    """The fields of every row, from `NAME=VALUE`."""
    common: dict[str, Any] = {}
    for each in shared:
        name, separator, value = each.partition("=")
        if not separator:
            raise UsageError(f"--set {each}: expected NAME=VALUE, such as steps=20")
        common |= _named({name.strip(): _cell(name.strip(), value)}, f"--set {each}")
    return common


def _records(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The line and the fields of each row."""
    suffix = path.suffix.lower()
    if path == STDIN:
        suffix = ".jsonl" if text.lstrip().startswith("{") else ".txt"
    if suffix == ".csv":
        yield from _csv_records(path, text)
    elif suffix == ".jsonl":
        for line, content in _lines(text):
            yield line, _parsed(content, f"{path}, line {line}")
    elif suffix == ".txt":
        yield from ((line, {"prompt": content}) for line, content in _lines(text))
    else:
        raise UsageError(f"{path} is none of {', '.join(FORMATS)}; or give - for standard input")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with something in them, counted from 1."""
    numbered = enumerate(text.split("\n"), 1)
    yield from ((line, content.strip()) for line, content in numbered if content.strip())


def _parsed(content: str, place: str) -> dict[str, Any]:
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place} is not valid JSON: {error}") from error
    if not isinstance(record, dict):
        raise UsageError(f'{place} is {content[:40]}; expected an object such as {{"prompt": ...}}')
    return record


def _csv_records(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for record in reader:
            place = f"{path}, line {reader.line_num}"
            if None in record:
                raise UsageError(f"{place} has more cells than the header")
            cells = {name.strip(): value for name, value in record.items() if value}
            yield reader.line_num, {name: _cell(name, value) for name, value in cells.items()}
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num} is not valid CSV: {error}") from error


def _cell(name: str, value: str) -> object:
    """The value of a cell: text where the field is text, else JSON, and text if it is none."""
    if ALIASES.get(name, name) in TEXTS:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _named(given: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The fields by their names in Python, without those that are null."""
    fields: dict[str, Any] = {}
    for name, value in given.items():
        plain = name.replace("-", "_")
        if plain == "size":
            width, separator, height = str(value).partition("x")
            if not (separator and width.isdecimal() and height.isdecimal()):
                raise UsageError(f"{place}: size is {value!r}; expected for example 512x768")
            fields |= {"width": int(width), "height": int(height)}
            continue
        try:
            field = known("option", ALIASES.get(plain, plain), FIELDS)
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from error
        if value is not None:
            fields[field] = value
    return fields


def _row(
    number: int, line: int, place: str, fields: dict[str, Any], folder: Path, seed: int
) -> Row:
    prompt = fields.get("prompt")
    if not isinstance(prompt, str):
        raise UsageError(f"{place} has no prompt")
    options = {name: value for name, value in fields.items() if name not in OTHER}
    for name in FILES:
        if name in options:
            options[name] = _file(options[name], name, folder, place)
    options.setdefault("seed", seed + number)
    if options["seed"] == -1:
        raise UsageError(f"{place}: seed is -1; leave it out, for one that is the same each time")
    adapters = {
        name: tuple(_adapter(each, name, folder, place) for each in _listed(fields.get(name)))
        for name in ADAPTERS
    }
    return Row(
        number=number,
        line=line,
        prompt=prompt,
        options=cast(Options, options),
        id=str(fields.get("id", number)),
        model=_model(fields.get("model"), folder),
        refiner=_model(fields.get("refiner"), folder),
        refiner_start=fields.get("refiner_start"),
        **adapters,
    )


def _listed(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _file(value: object, name: str, folder: Path, place: str) -> str:
    """The path of a file that is there."""
    path = folder / str(value)
    if not path.is_file():
        raise UsageError(f"{place}: there is no {name} {path}")
    return str(path)


def _adapter(value: object, name: str, folder: Path, place: str) -> str:
    """`FILE[:WEIGHT]`, or `FILE[:WORD]`, with the file where it is."""
    text = str(value)
    path, colon, rest = text, "", ""
    if not (folder / text).is_file():
        path, colon, rest = text.rpartition(":")
        path = path or text
    return f"{_file(path, name, folder, place)}{colon}{rest}"


def _model(value: object, folder: Path) -> str | None:
    """A model by name, or by its folder, beside the file of jobs or where the command runs."""
    if value is None:
        return None
    beside = folder / str(value)
    return str(beside) if beside.is_dir() else str(value)
