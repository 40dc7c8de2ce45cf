"""Runs the cases with one interpreter, and writes down what they print and leave."""

import hashlib
import json
import re
import shutil
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdrt_bench.unchanged.cases import Case, Command
from sdrt_bench.unchanged.files import describe_files
from sdrt_bench.unchanged.interpreter import Interpreter, pin_processors, processor
from sdrt_bench.unchanged.normal import Normal

SCHEMA = 1
RECORDING = "recording.json"
"""The recording's file, in the folder of the cases' own folders."""

OPTION_LINE = re.compile(r"^ +(-.*?)(?:  |$)", re.MULTILINE)
OPTION = re.compile(r"(?<![\w-])--?[a-zA-Z][\w-]*")


@dataclass(frozen=True)
class Recorder:
    """What a recording is made with."""

    interpreter: Interpreter
    package: str
    """Where the interpreter's sdrt is."""
    models: Path
    folder: Path
    """Takes a folder for each case, with the files that its commands leave."""
    host: Path | None
    """The C++ host; None where there is none to record."""

    def record(self, case: Case) -> dict[str, Any]:
        """Run a case; its commands, and the files that they left."""
        folder = self.folder / case.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        paths = {str(folder): "<case>", str(self.models): "<models>", self.package: "<sdrt>"}
        if self.host:
            paths[str(self.host)] = "<host>"
        normal = Normal(paths)
        commands = [self._run(command, folder, normal) for command in case.commands]
        return {"commands": commands, "files": describe_files(folder, normal)}

    def _run(self, command: Command, folder: Path, normal: Normal) -> dict[str, Any]:
        done = self.interpreter.run(self._words(command), folder, paths=self._paths(command))
        return {
            "words": list(command.words),
            "exit_code": done.returncode,
            **_output(done.stdout, command, normal),
            **_errors(done.stderr, normal),
        }

    def _words(self, command: Command) -> list[str]:
        if command.program == "python":
            (case,) = command.words
            module = ["-P", "-m", "sdrt_bench.unchanged.library"]
            return [self.interpreter.path, *module, case, str(self.models), self.package]
        words = [
            word.replace("{models}", str(self.models)).replace(
                "{inputs}", str(self.models / "inputs")
            )
            for word in command.words
        ]
        if command.program == "host":
            assert self.host is not None
            return [str(self.host), *words]
        return [*self.interpreter.sdrt, *words]

    def _paths(self, command: Command) -> Sequence[Path]:
        """Where else the interpreter finds modules: this package, for the cases inside of it."""
        return [Path(__file__).parents[2]] if command.program == "python" else []


def record_all(
    cases: Sequence[Case],
    models: Path,
    folder: Path,
    python: str,
    host: Path | None,
    tell: Callable[[str], object],
) -> Path:
    """Record cases into a folder; gives the recording's path, and tells each case as it is done.

    Cases of the C++ host are left out where there is none. Raises `RuntimeError` for an interpreter
    without sdrt.
    """
    pin_processors()
    folder.mkdir(parents=True, exist_ok=True)
    cache = folder / "cache"
    interpreter = Interpreter(python, cache)
    about = interpreter.describe()
    package = about.pop("package")
    tell(f"sdrt of {package}")
    recorder = Recorder(interpreter, package, models, folder, host)
    recorded: dict[str, Any] = {}
    for case in cases:
        if case.group == "host" and host is None:
            continue
        started = time.monotonic()
        recorded[case.name] = recorder.record(case)
        tell(f"{time.monotonic() - started:6.1f} s  {case.name}")
    shutil.rmtree(cache, ignore_errors=True)
    content = {
        "schema": SCHEMA,
        "machine": {
            "processor": processor(),
            "system": sysconfig.get_platform(),
            "models": _models(models),
            **about,
        },
        "cases": recorded,
    }
    path = folder / RECORDING
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False))
    return path


def _models(folder: Path) -> dict[str, str]:
    """SHA-256 of each model's manifest, which has those of all its files."""
    return {
        path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("*/manifest.json"))
    }


def _output(text: str, command: Command, normal: Normal) -> dict[str, Any]:
    """What a command printed, as values where its form is known and is what it should be."""
    if not text:
        return {}
    prose = {"prose": normal.prose(text)}
    if command.output == "help":
        return {**prose, "options": options(text)}
    if command.output == "prose":
        return prose
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        return prose
    return (
        {"shape": shape(content)} if command.output == "shape" else {"json": normal.values(content)}
    )


def _errors(text: str, normal: Normal) -> dict[str, Any]:
    """What a command printed on its standard error: lines for people, and an error as JSON."""
    lines, errors = [], []
    for line in text.splitlines():
        try:
            errors.append(normal.values(json.loads(line)["error"]))
        except (json.JSONDecodeError, TypeError, KeyError):
            lines += normal.prose(line)
    return {**({"errors": errors} if errors else {}), **({"stderr": lines} if lines else {})}


def options(text: str) -> list[str]:
    """The options that a help text lists, not those that its sentences name."""
    listed = " ".join(OPTION_LINE.findall(text))
    return sorted(set(OPTION.findall(listed)))


def shape(value: Any) -> Any:
    """A JSON value with types in place of values; of a list, the shapes of objects in it.

    How many other values a list has may depend on what was measured.
    """
    if isinstance(value, Mapping):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        shapes = [shape(inner) for inner in value if isinstance(inner, Mapping)]
        return [first for place, first in enumerate(shapes) if first not in shapes[:place]]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    return type(value).__name__
