"""Command-line options: their types, and groups of them that commands get as dataclasses.

A group is a frozen dataclass whose fields say how click reads them:

    @dataclass(frozen=True)
    class Canvas:
        width: int | None = option("--width", type=int, help="Pixels.")

    @click.command()
    @option_group("canvas", Canvas)
    def paint(canvas: Canvas) -> None: ...

A group may hold other groups. Commands show their options in the order of the fields. A dataclass
that knows nothing of click becomes a group with its options beside it:

    @option_group("canvas", Canvas, click.option("--width", type=int, help="Pixels."))
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import Field, dataclass, field, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from sdrt.manifest import Precision
    from sdrt.pipeline import Pipeline

OPTION = "option"

Command = Callable[..., Any]

FILE = click.Path(path_type=Path)

JSON = click.option("--json", "as_json", is_flag=True, help="Print a JSON record.")


class Size(click.ParamType[tuple[int, int]]):
    """WIDTHxHEIGHT in pixels."""

    name = "WxH"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """Parse the text; click turns a failure into a usage error."""
        width, _, height = str(value).lower().partition("x")
        if not (width.isdigit() and height.isdigit()):
            self.fail(f"{value!r} is not a size; expected for example 512x768", param, ctx)
        return int(width), int(height)


class Point(click.ParamType[tuple[int, int]]):
    """X,Y in pixels from the left and the top."""

    name = "X,Y"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """Parse the text; click turns a failure into a usage error."""
        x, _, y = str(value).partition(",")
        if not (x.isdigit() and y.isdigit()):
            self.fail(f"{value!r} is not a point; expected for example 0,0", param, ctx)
        return int(x), int(y)


def option(*flags: str, **settings: Any) -> Any:
    """A field that holds the value of an option; flags and settings are those of `click.option`."""
    return field(metadata={OPTION: lambda name: click.option(*flags, name, **settings)})


def argument(**settings: Any) -> Any:
    """A field that holds the value of an argument; settings are those of `click.argument`."""
    return field(metadata={OPTION: lambda name: click.argument(name, **settings)})


def option_group(
    argument: str,
    group: "type[DataclassInstance]",
    *options: Callable[[Command], Command],
) -> Callable[[Command], Command]:
    """Add a group's options to a command, which takes their values as one argument.

    `options` are those of a group whose fields do not have them, one for each, by the same names.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def grouped(*arguments: Any, **parameters: Any) -> Any:
            parameters[argument] = _collect(group, parameters)
            return command(*arguments, **parameters)

        declared: Command = grouped
        for add_option in reversed(options or tuple(_options(group))):
            declared = add_option(declared)
        return declared

    return decorate


def values(group: "DataclassInstance") -> dict[str, object]:
    """The values of a group's own options by the names of its fields."""
    own = (each for each in fields(group) if OPTION in each.metadata)
    return {each.name: getattr(group, each.name) for each in own}


def _options(group: "type[DataclassInstance]") -> Iterator[Callable[[Command], Command]]:
    for each in fields(group):
        if OPTION in each.metadata:
            yield each.metadata[OPTION](each.name)
        else:
            yield from _options(_group_of(each))


def _collect(group: "type[DataclassInstance]", parameters: dict[str, Any]) -> Any:
    """Build a group from a command's parameters, which lose what it takes."""
    return group(
        **{
            each.name: _collect(_group_of(each), parameters)
            if is_dataclass(each.type)
            else parameters.pop(each.name)
            for each in fields(group)
        }
    )


def _group_of(each: "Field[Any]") -> "type[DataclassInstance]":
    """The group that a field holds."""
    assert isinstance(each.type, type)
    assert is_dataclass(each.type), f"{each.name} is neither an option nor a group"
    return each.type


@dataclass(frozen=True)
class EngineOptions:
    """How a model is opened: on which engine, in which precision, and in how much memory."""

    backend: str | None = option(
        "--backend", help="openvino or onnxruntime; default: the fastest installed."
    )
    device: str | None = option("--device", help="The engine's device, for example CPU or GPU.")
    threads: int | None = option(
        "-t",
        "--threads",
        type=int,
        help="Default: as many as `sdrt doctor` shows.",
    )
    precision: "Precision | None" = option(
        "--precision", help="What the engine should execute: fp32, bf16 or int8."
    )
    retry_precision: bool = option(
        "--retry-precision/--no-retry-precision",
        default=True,
        show_default=True,
        help="Run a network that gives NaN or infinity in bf16 again in fp32.",
    )
    check_memory: bool = option(
        "--ignore-memory",
        flag_value=False,
        default=True,
        help="Run even what is not expected to fit into memory.",
    )
    max_memory: str | None = option(
        "--max-memory",
        metavar="4G",
        help="Peak memory of the process: the run is made to fit, or refused.",
    )

    def load(
        self,
        model: str | None,
        keep: Collection[str],
        loras: Sequence[str] = (),
        embeddings: Sequence[str] = (),
    ) -> "Pipeline":
        """Open a model; see `sdrt.load` for the arguments.

        Unless threads are asked for, this process leaves the cores alone that are not to compute.
        """
        from sdrt.cores import placement
        from sdrt.pipeline import load

        cores = placement()
        if cores.is_part and not self.threads:
            cores.take()
        return load(
            model,
            self.backend,
            self.device,
            self.threads,
            self.precision,
            keep,
            self.retry_precision,
            self.check_memory,
            self.max_memory,
            loras,
            embeddings,
        )

    def load_to_keep(self, default: str | None, model: str | None = None) -> "Pipeline":
        """Open a model, or the default, for many runs: its networks stay in memory between them."""
        from sdrt.networks.open_model import KEPT_BY_MANY

        return self.load(model or default, KEPT_BY_MANY)
