"""What differs between two recordings, and which of it was meant to.

A key that the tables below rename, and a schema number that they raise, are reported as renamed. A
sentence that people read and that has other words is reported as reworded. All else is different.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

Kind = Literal["different", "missing", "new", "renamed", "reworded"]

MAX_SHOWN = 100
"""Characters of a value in a report."""


@dataclass(frozen=True)
class Renamed:
    """A key that has another name since a certain change."""

    where: str
    """Paths of the objects that have it, as a pattern of the shell."""
    before: str
    after: str


@dataclass(frozen=True)
class Changed:
    """A value that a certain change sets anew."""

    where: str
    before: Any
    after: Any


# Where the parameters of a picture are: in its PNG, in records, and in what `sdrt info` prints.
PARAMETERS = ("*/chunk", "*/json/images/*", "*/json/sdrt")
PARAMETER_NAMES = {
    "part": "denoising_range",
    "framing": "size_conditioning",
    "words": "textual_inversions",
    "embeddings": "prompt_embeddings",
}
# The records of `sdrt bench`, and their schema.
BENCH_RECORDS = ("bench/*", "bench-schema/*")
BENCH_NAMES = {
    "noise": "system_load",
    "work": "compute",
    "noisy": "timing_warnings",
    "picture": "image",
    "growth": "scaling",
    "over": "axis",
    "other_share": "other_processes_share",
    "attributes_right": "attribute_accuracy",
    "prompts_right": "prompt_accuracy",
    "Noise": "SystemLoad",
    "Work": "Compute",
    "Growth": "ScalingFit",
    "Fidelity": "CellFidelity",
}
RENAMED: tuple[Renamed, ...] = tuple(
    Renamed(where, before, after)
    for places, names in ((PARAMETERS, PARAMETER_NAMES), (BENCH_RECORDS, BENCH_NAMES))
    for where in places
    for before, after in names.items()
)
CHANGED: tuple[Changed, ...] = (
    Changed("*/chunk/schema", 1, 2),
    Changed("*/json/sdrt/schema", 1, 2),
    Changed("bench/*/schema", 1, 2),
    Changed("bench-schema/*/schema/const", 1, 2),
    Changed("bench-schema/*/schema/default", 1, 2),
    *(
        Changed("bench-schema/*/$ref", f"#/$defs/{before}", f"#/$defs/{after}")
        for before, after in BENCH_NAMES.items()
    ),
)
SENTENCES = (
    *("*/prose/*", "*/stderr/*", "*/warnings/*", "*/message"),
    *("*/json/*/description", "*/json/*/title", "*/json/*/summary"),
)
"""Where people read sentences, and no program relies on their words."""


@dataclass(frozen=True)
class Difference:
    """One place where two recordings are not the same."""

    kind: Kind
    path: str
    """Names and numbers of objects and lists, from the case on, with slashes."""
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        if self.kind in ("missing", "new"):
            return f"{self.kind}: {self.path}"
        return f"{self.kind}: {self.path}: {_shown(self.before)} -> {_shown(self.after)}"


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """All differences between the cases of two recordings."""
    return list(_differences("", before["cases"], after["cases"]))


def compare_machines(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """What differs between the machines, packages and models that two recordings were made with."""
    before, after = (
        {name: value for name, value in recording["machine"].items() if name != "package"}
        for recording in (before, after)
    )
    return list(_differences("machine", before, after))


def _differences(path: str, before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _of_objects(path, before, after)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _of_lists(path, before, after)
    elif type(before) is not type(after) or before != after:
        yield Difference(_kind(path, before, after), path, before, after)


def _of_objects(
    path: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[Difference]:
    names = {}
    for name in before:
        names[name] = new = _name_after(path, name, after)
        if new != name:
            yield Difference("renamed", f"{path}/{name}", name, new)
    for name, new in names.items():
        if new in after:
            yield from _differences(_joined(path, name), before[name], after[new])
        else:
            yield Difference("missing", _joined(path, name))
    for name in after:
        if name not in names.values():
            yield Difference("new", _joined(path, name))
    order = [name for name in names.values() if name in after]
    order_after = [name for name in after if name in order]
    if order != order_after:
        yield Difference("different", f"{path} (order)", order, order_after)


def _of_lists(path: str, before: Sequence[Any], after: Sequence[Any]) -> Iterator[Difference]:
    """Lists of as many elements by their places; of others, texts for people differ as a whole."""
    if len(before) == len(after):
        for place, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _differences(f"{path}/{place}", old, new)
    else:
        yield Difference(_kind(f"{path}/0", before, after), path, before, after)


def _name_after(path: str, name: str, after: Mapping[str, Any]) -> str:
    """What a key is called now; a table's name counts only where the old one is gone."""
    for row in RENAMED:
        if row.before == name and fnmatchcase(path, row.where):
            return row.after if name not in after and row.after in after else name
    return name


def _kind(path: str, before: Any, after: Any) -> Kind:
    for row in CHANGED:
        if fnmatchcase(path, row.where) and (before, after) == (row.before, row.after):
            return "renamed"
    is_sentence = any(fnmatchcase(path, pattern) for pattern in SENTENCES)
    return "reworded" if is_sentence else "different"


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."
