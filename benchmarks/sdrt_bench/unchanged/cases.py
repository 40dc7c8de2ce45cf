"""What a recorded run is: calls of the command line in a folder of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Program = Literal["sdrt", "host", "python"]
Output = Literal["json", "prose", "help", "shape"]

PROMPT = "a red boat on the sea at sunset"
ENGINES = ("onnxruntime", "openvino")


@dataclass(frozen=True)
class Command:
    """One call of a program. In words, {models} and {inputs} stand for these folders."""

    words: tuple[str, ...]
    program: Program = "sdrt"
    output: Output = "json"
    """The command prints JSON, prose for people, help, of which the options count too, or JSON of
    which only the shape is recorded, because its values are measured."""


@dataclass(frozen=True)
class Case:
    """Calls that share a folder, where they leave their files, and are recorded together."""

    name: str
    group: str
    commands: tuple[Command, ...]


def generate(
    name: str,
    *options: str,
    model: str | None = None,
    engine: str = "onnxruntime",
    prompt: str = PROMPT,
    steps: int | None = 4,
    program: Program = "sdrt",
) -> Case:
    """One picture, or several, with its JSON record."""
    words = ["generate", prompt, "--backend", engine, "--threads", "2", "--seed", "7", "--json"]
    words += ["--output", "picture.png"]
    if model:
        words += ["--model", "{models}/" + model]
    if steps:
        words += ["--steps", str(steps)]
    group = "host" if program == "host" else "generate"
    return Case(name, group, (Command((*words, *options), program),))


def on_both(
    name: str, *options: str, model: str | None = None, prompt: str = PROMPT, steps: int = 4
) -> list[Case]:
    """The same on either engine."""
    return [
        generate(
            f"{name}-{engine}", *options, model=model, engine=engine, prompt=prompt, steps=steps
        )
        for engine in ENGINES
    ]


def calls(name: str, group: str, output: Output, *commands: Sequence[str]) -> Case:
    """Calls whose output is of one form."""
    return Case(name, group, tuple(Command(tuple(words), output=output) for words in commands))
